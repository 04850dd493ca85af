/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the store: what is put is found again; what is damaged, foreign or left over does no harm. */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd-util.h"
#include "common/string-util.h"
#include "daemon/record-manifest.h"
#include "store-fixture.h"
#include "test.h"

#define DIR STATE "/patches/" RELEASE "/lp_fix"
#define MANIFEST DIR "/manifest.json"

static Store *open_store(void) {
        Store *store = NULL;

        ASSERT_EQ(store_open(test_tmpdir(), 0, &store, NULL), 0);
        return store;
}

/* What store_load() finds in boot "boot". */
typedef struct Loaded {
        RecordList list;
        char **problems;
} Loaded;

static void loaded_done(Loaded *loaded) {
        record_list_done(&loaded->list);
        strv_free(loaded->problems);
}
#define _cleanup_loaded_ _cleanup_(loaded_done)

static Loaded load_in(Store *store, const char *boot_id) {
        Loaded loaded = {};

        ASSERT_EQ(store_load(store, boot_id, &loaded.list, &loaded.problems, NULL), 0);
        return loaded;
}

/* One problem with these words, no record; the name is free for a new patch. */
static void assert_set_aside(Store *store, const char *words) {
        _cleanup_loaded_ Loaded loaded = load_in(store, "boot"), again = {};
        PatchRecord *record;

        ASSERT_EQ(loaded.list.n, 0);
        ASSERT_EQ(strv_length(loaded.problems), 1);
        ASSERT_CONTAINS(loaded.problems[0], words);
        ASSERT_CONTAINS(loaded.problems[0], "was set aside as /" STATE "/damaged/");
        ASSERT_FALSE(exists_at(test_tmpdir(), DIR));
        record = fixture_put(store, "lp_fix", "new bytes", NULL);
        patch_record_free(record);
        again = load_in(store, "boot");
        ASSERT_EQ(again.list.n, 1);
        ASSERT_EQ(strv_length(again.problems), 0);
}

TEST(an_empty_store) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_loaded_ Loaded loaded = load_in(store, "boot");

        ASSERT_EQ(loaded.list.n, 0);
        ASSERT_EQ(strv_length(loaded.problems), 0);
        ASSERT_EQ(record_list_next_order(&loaded.list), 1);
}

TEST(put_and_load) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_put(store, "lp_fix", "bytes", NULL);
        _cleanup_loaded_ Loaded loaded = load_in(store, "boot");
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *bytes = NULL;

        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_EQ(strv_length(loaded.problems), 0);
        ASSERT_STREQ(loaded.list.records[0]->sha256, record->sha256);
        ASSERT_EQ(loaded.list.records[0]->size, strlen("bytes"));
        fd = store_open_module(store, loaded.list.records[0], NULL);
        ASSERT_OK(fd);
        ASSERT_OK(read_fd(fd, 100, &bytes, NULL));
        ASSERT_STREQ(bytes, "bytes");
}

TEST(modes) {
        _cleanup_(store_closep) Store *store = open_store();
        static const char *const dirs[] = { STATE, STATE "/patches", STATE "/patches/" RELEASE, DIR };
        struct stat st;

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
                ASSERT_OK(fstatat(test_tmpdir(), dirs[i], &st, 0));
                ASSERT_EQ(st.st_mode & 07777, 0700);
        }
        ASSERT_OK(fstatat(test_tmpdir(), MANIFEST, &st, 0));
        ASSERT_EQ(st.st_mode & 07777, 0600);
}

TEST(records_are_sorted) {
        _cleanup_(store_closep) Store *store = open_store();
        static const char *const names[] = { "c", "b", "a", "d" };
        static const uint64_t orders[] = { 2, 1, 2, 10 };
        static const char expected[] = "bacd";
        _cleanup_loaded_ Loaded loaded = {};

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                PatchRecord *record = fixture_put(store, names[i], "bytes", NULL);

                record->order = orders[i];
                ASSERT_EQ(store_put(store, record, NULL), 0);
                patch_record_free(record);
        }
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 4);
        for (size_t i = 0; i < 4; i++)
                ASSERT_EQ(loaded.list.records[i]->name[0], expected[i]);
        ASSERT_EQ(record_list_next_order(&loaded.list), 11);
}

TEST(another_build_takes_the_place_of_the_first) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *first = fixture_put(store, "lp_fix", "first", NULL);
        _cleanup_(patch_record_freep) PatchRecord *second = fixture_put(store, "lp_fix", "second", NULL);
        _cleanup_loaded_ Loaded loaded = load_in(store, "boot");
        _cleanup_failure_ Failure failure = {};

        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_STREQ(loaded.list.records[0]->sha256, second->sha256);
        ASSERT_EQ(store_open_module(store, first, &failure), -ENOENT);
        ASSERT_EQ(failure.code, REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure.text, "stage or apply the original file again");
}

TEST(records_of_this_boot_only) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_loaded_ Loaded same = {}, other = {}, third = {};

        patch_record_free(fixture_put(store, "lp_fix", "bytes", "boot"));
        same = load_in(store, "boot");
        other = load_in(store, "another");
        ASSERT_EQ(same.list.n, 1);
        ASSERT_STREQ(same.list.records[0]->transient_boot_id, "boot");
        ASSERT_EQ(other.list.n, 0);
        ASSERT_EQ(strv_length(other.problems), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), STATE "/patches/" RELEASE));
        third = load_in(store, "boot");
        ASSERT_EQ(third.list.n, 0);
}

TEST(a_transient_build_does_not_cost_the_persisted_one) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *old = fixture_put(store, "lp_fix", "old", NULL);
        _cleanup_(patch_record_freep) PatchRecord *new = fixture_put(store, "lp_fix", "new", "boot");
        _cleanup_(patch_record_freep) PatchRecord *newer = fixture_put(store, "lp_fix", "newer", "boot");
        _cleanup_loaded_ Loaded same = load_in(store, "boot"), other = load_in(store, "another");
        int fd;

        ASSERT_EQ(same.list.n, 1);
        ASSERT_STREQ(same.list.records[0]->sha256, newer->sha256);
        ASSERT_EQ(other.list.n, 1);
        ASSERT_STREQ(other.list.records[0]->sha256, old->sha256);
        ASSERT_NULL(other.list.records[0]->transient_boot_id);
        fd = store_open_module(store, old, NULL);
        ASSERT_OK(fd);
        safe_close(fd);
        ASSERT_EQ(store_open_module(store, newer, NULL), -ENOENT);
        ASSERT_EQ(store_open_module(store, new, NULL), -ENOENT);
}

TEST(a_damaged_transient_build_gives_way_to_the_persisted_one) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *old = fixture_put(store, "lp_fix", "old", NULL);
        _cleanup_(patch_record_freep) PatchRecord *new = fixture_put(store, "lp_fix", "new", "boot");
        _cleanup_loaded_ Loaded loaded = {};

        fixture_write_module(new, "truncat");
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_STREQ(loaded.list.records[0]->sha256, old->sha256);
        ASSERT_EQ(strv_length(loaded.problems), 1);
        ASSERT_CONTAINS(loaded.problems[0], "stands again");
}

TEST(a_persisted_record_ends_what_was_transient) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *old = fixture_put(store, "lp_fix", "old", NULL);
        _cleanup_(patch_record_freep) PatchRecord *new = fixture_put(store, "lp_fix", "new", "boot");
        _cleanup_loaded_ Loaded other = {};

        ASSERT_OK(free_and_strdup(&new->transient_boot_id, NULL));
        ASSERT_EQ(store_put(store, new, NULL), 0);
        ASSERT_EQ(store_open_module(store, old, NULL), -ENOENT);
        other = load_in(store, "another");
        ASSERT_EQ(other.list.n, 1);
        ASSERT_STREQ(other.list.records[0]->sha256, new->sha256);
}

TEST(remove) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_loaded_ Loaded loaded = {};

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        patch_record_free(fixture_put(store, "lp_other", "bytes", NULL));
        ASSERT_EQ(store_remove(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), DIR));
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_STREQ(loaded.list.records[0]->name, "lp_other");
        ASSERT_EQ(store_remove(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_EQ(store_remove(store, RELEASE, "../" RELEASE, NULL), 0);
        ASSERT_EQ(store_remove(store, "..", "patches", NULL), 0);
        ASSERT_TRUE(exists_at(test_tmpdir(), STATE "/patches/" RELEASE "/lp_other/manifest.json"));
}

TEST(remove_what_was_damaged_since) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        test_write_file(test_tmpdir(), MANIFEST, "junk");
        ASSERT_EQ(store_remove(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), DIR));
}

TEST(remove_keeps_what_somebody_else_put_there) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        test_write_file(test_tmpdir(), DIR "/notes.txt", "mine");
        ASSERT_EQ(store_remove(store, RELEASE, "lp_fix", NULL), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), DIR));
        ASSERT_TRUE(exists_at(test_tmpdir(), STATE "/damaged/" RELEASE ".lp_fix.1/notes.txt"));
}

TEST(a_record_without_its_module_is_a_programming_error) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_record("lp_fix", "bytes", NULL);
        _cleanup_(patch_record_freep) PatchRecord *other = NULL;

        ASSERT_EQ(store_put(store, record, NULL), -EINVAL);
        ASSERT_FALSE(exists_at(test_tmpdir(), STATE "/patches/" RELEASE));
        other = fixture_put(store, "lp_fix", "other bytes", NULL);
        ASSERT_EQ(store_put(store, record, NULL), -EINVAL);
        record->size = 4;
        ASSERT_EQ(store_put(store, record, NULL), -EINVAL);
}

TEST(names_that_would_leave_the_store) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(module_image_unrefp) ModuleImage *image = fixture_image("bytes");
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_record("lp_fix", "bytes", NULL);

        ASSERT_EQ(store_put_module(store, "..", "lp_fix", image, NULL), -EINVAL);
        ASSERT_EQ(store_put_module(store, RELEASE, "../../x", image, NULL), -EINVAL);
        ASSERT_EQ(store_put_module(store, RELEASE, "", image, NULL), -EINVAL);
        ASSERT_OK(free_and_strdup(&record->name, "../x"));
        ASSERT_EQ(store_put(store, record, NULL), -EINVAL);
        ASSERT_OK(free_and_strdup(&record->name, "x"));
        ASSERT_OK(free_and_strdup(&record->sha256, "../../../etc/passwd"));
        ASSERT_EQ(store_put(store, record, NULL), -EINVAL);
        ASSERT_FALSE(exists_at(test_tmpdir(), STATE "/patches"));
}

TEST(a_module_that_is_there_but_damaged_is_written_again) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_put(store, "lp_fix", "bytes", NULL), *again = NULL;

        fixture_write_module(record, "BYTES");
        again = fixture_put(store, "lp_fix", "bytes", NULL);
        fixture_assert_module(store, again, "bytes");
}

TEST(a_vendor_record_has_no_module_here) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_record("lp_fix", "bytes", NULL);
        _cleanup_loaded_ Loaded loaded = {};
        int fd;

        record->origin = ORIGIN_VENDOR;
        ASSERT_EQ(store_put(store, record, NULL), 0);
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_EQ(store_open_module(store, record, NULL), -ENOENT);
        test_write_file(test_tmpdir(), "usr/lib/livepatch/patches/" RELEASE "/lp_fix.ko.xz", "vendor's");
        fd = store_open_module(store, record, NULL);
        ASSERT_OK(fd);
        safe_close(fd);
}

#define VENDOR "usr/lib/livepatch/patches/" RELEASE "/"

TEST(the_vendors_patches) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_strv_free_ char **none = NULL, **names = NULL, **bad = NULL;

        ASSERT_EQ(store_list_vendor(store, RELEASE, &none), 0);
        ASSERT_EQ(strv_length(none), 0);
        test_write_file(test_tmpdir(), VENDOR "b.ko", "plain");
        test_write_file(test_tmpdir(), VENDOR "b.ko.gz", "compressed");
        test_write_file(test_tmpdir(), VENDOR "a.ko.zst", "x");
        test_write_file(test_tmpdir(), VENDOR "a-dash.ko", "x");
        test_write_file(test_tmpdir(), VENDOR ".ko", "x");
        test_write_file(test_tmpdir(), VENDOR "c.ko.bz2", "x");
        test_write_file(test_tmpdir(), VENDOR "README", "x");
        ASSERT_EQ(store_list_vendor(store, RELEASE, &names), 0);
        ASSERT_EQ(strv_length(names), 2);
        ASSERT_STREQ(names[0], "a");
        ASSERT_STREQ(names[1], "b");
        ASSERT_EQ(store_list_vendor(store, "../patches", &bad), 0);
        ASSERT_EQ(strv_length(bad), 0);
}

static void assert_no_vendor_file(Store *store, const char *name, int error, int refusal, const char *words) {
        _cleanup_failure_ Failure failure = {};

        ASSERT_EQ(store_open_vendor(store, RELEASE, name, &failure), error);
        ASSERT_EQ(failure.code, refusal);
        ASSERT_CONTAINS(failure.text, words);
}

TEST(a_vendors_file) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *bytes = NULL;

        test_write_file(test_tmpdir(), VENDOR "b.ko.gz", "compressed");
        test_write_file(test_tmpdir(), VENDOR "b.ko", "plain");
        fd = store_open_vendor(store, RELEASE, "b", NULL);
        ASSERT_OK(fd);
        ASSERT_OK(read_fd(fd, 100, &bytes, NULL));
        ASSERT_STREQ(bytes, "plain");
        assert_no_vendor_file(store, "c", -ENOENT, REFUSED_NO_SUCH_PATCH, "has no patch 'c'");
        assert_no_vendor_file(store, "../" RELEASE "/b", -ENOENT, REFUSED_NO_SUCH_PATCH, "has no patch");
        ASSERT_OK(mkdirat(test_tmpdir(), VENDOR "d.ko", 0700));
        assert_no_vendor_file(store, "d", -EBADFD, REFUSED_STORE_FAILED, "not a regular file");
        ASSERT_OK(mkfifoat(test_tmpdir(), VENDOR "e.ko", 0700));
        assert_no_vendor_file(store, "e", -EBADFD, REFUSED_STORE_FAILED, "not a regular file");
}

/* ---- What is damaged or foreign ---- */

TEST(manifests_that_are_no_manifests) {
        _cleanup_(store_closep) Store *store = open_store();
        static const struct {
                const char *content;
                size_t size;
                const char *words;
        } cases[] = {
                { "", 0, "empty" },
                { "{}", 2, "cut short" },
                { "\x7f" "ELF\0\0\0\0 a binary file, longer than a manifest's first line", 50, "checksum" },
                { "{\n    \"checksum\": \"00000000\",\n    \"format\": 1\n}\n", 47, "checksum" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
                test_write_bytes(test_tmpdir(), MANIFEST, cases[i].content, cases[i].size);
                assert_set_aside(store, cases[i].words);
        }
}

/* The manifest is replaced by what make() makes. */
static void assert_replaced_manifest(void (*make)(void), const char *words) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        ASSERT_OK(unlinkat(test_tmpdir(), MANIFEST, 0));
        make();
        assert_set_aside(store, words);
}

static void make_directory(void) {
        test_write_file(test_tmpdir(), MANIFEST "/x", "");
}

static void make_fifo(void) {
        ASSERT_OK(mkfifoat(test_tmpdir(), MANIFEST, 0600));
}

static void make_huge(void) {
        _cleanup_close_ int fd = openat(test_tmpdir(), MANIFEST, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        ASSERT_OK(fd);
        ASSERT_OK(ftruncate(fd, (off_t) RECORD_SIZE_MAX + 1));
}

TEST(manifests_that_are_no_files) {
        assert_replaced_manifest(make_directory, "not a regular file");
}

TEST(a_manifest_that_is_a_fifo) {
        assert_replaced_manifest(make_fifo, "not a regular file");
}

TEST(a_huge_manifest) {
        assert_replaced_manifest(make_huge, "larger");
}

TEST(a_manifest_that_is_a_link) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        ASSERT_OK(renameat(test_tmpdir(), MANIFEST, test_tmpdir(), STATE "/elsewhere"));
        ASSERT_OK(symlinkat("../../../elsewhere", test_tmpdir(), MANIFEST));
        assert_set_aside(store, "symbolic link");
}

TEST(files_that_others_may_write_to) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        ASSERT_OK(fchmodat(test_tmpdir(), MANIFEST, 0620, 0));
        assert_set_aside(store, "others than its owner may write");
        ASSERT_OK(fchmodat(test_tmpdir(), DIR, 0777, 0));
        assert_set_aside(store, "others than its owner may write");
}

TEST(files_of_somebody_else) {
        _cleanup_(store_closep) Store *store = open_store();

        if (geteuid() != 0)
                test_skip("only root can give files away");
        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        ASSERT_OK(fchownat(test_tmpdir(), MANIFEST, 65534, 65534, 0));
        assert_set_aside(store, "belongs to user 65534");
        ASSERT_OK(fchownat(test_tmpdir(), DIR, 65534, 65534, 0));
        assert_set_aside(store, "belongs to user 65534");
}

TEST(modules_that_are_missing_or_changed) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_record("lp_fix", "bytes", NULL);

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        fixture_unlink_module(record);
        assert_set_aside(store, "module file is missing");
        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        fixture_write_module(record, "byte");
        assert_set_aside(store, "has 4 bytes instead of 5");
        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        fixture_unlink_module(record);
        fixture_link_module(record, "/etc/passwd");
        assert_set_aside(store, "symbolic link");
}

TEST(a_manifest_in_the_wrong_place) {
        _cleanup_(store_closep) Store *store = open_store();

        patch_record_free(fixture_put(store, "lp_other", "bytes", NULL));
        ASSERT_OK(renameat(test_tmpdir(), STATE "/patches/" RELEASE "/lp_other", test_tmpdir(), DIR));
        assert_set_aside(store, "manifest is one of patch 'lp_other'");
}

TEST(odd_entries) {
        _cleanup_(store_closep) Store *store = open_store();
        static const char *const paths[] = {
                STATE "/patches/.hidden/x",
                STATE "/patches/with space\x1b[2J/lp_fix/manifest.json",
                STATE "/patches/file",
                STATE "/patches/" RELEASE "/not-a-module-name/x",
                STATE "/patches/" RELEASE "/file",
                STATE "/patches/" RELEASE "/\xff\xfe/x",
        };
        _cleanup_loaded_ Loaded loaded = {}, again = {};

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                test_write_file(test_tmpdir(), paths[i], "");
        ASSERT_OK(symlinkat("/", test_tmpdir(), STATE "/patches/6.2"));
        ASSERT_OK(symlinkat("/", test_tmpdir(), STATE "/patches/" RELEASE "/lp_link"));
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_EQ(strv_length(loaded.problems), 8);
        for (size_t i = 0; i < 8; i++)
                ASSERT_NULL(strchr(loaded.problems[i], '\x1b'));
        again = load_in(store, "boot");
        ASSERT_EQ(again.list.n, 1);
        ASSERT_EQ(strv_length(again.problems), 0);
}

TEST(leftovers_are_swept) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(patch_record_freep) PatchRecord *record = fixture_put(store, "lp_fix", "bytes", NULL);
        static const char *const leftovers[] = {
                DIR "/manifest.json.tmp~",
                DIR "/0000000000000000000000000000000000000000000000000000000000000000.ko",
                DIR "/0000000000000000000000000000000000000000000000000000000000000000.ko.tmp~",
                STATE "/patches/" RELEASE
                      "/lp_half/0000000000000000000000000000000000000000000000000000000000000000.ko",
                STATE "/patches/5.10/lp_half/manifest.json.tmp~",
        };
        _cleanup_loaded_ Loaded loaded = {};

        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                test_write_file(test_tmpdir(), leftovers[i], "x");
        ASSERT_OK(fchmodat(test_tmpdir(), STATE "/patches/" RELEASE "/lp_half", 0700, 0));
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_EQ(strv_length(loaded.problems), 0);
        for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
                ASSERT_FALSE(exists_at(test_tmpdir(), leftovers[i]));
        ASSERT_FALSE(exists_at(test_tmpdir(), STATE "/patches/" RELEASE "/lp_half"));
        ASSERT_FALSE(exists_at(test_tmpdir(), STATE "/patches/5.10"));
        fixture_assert_module(store, record, "bytes");
}

TEST(unknown_files_beside_a_good_patch_are_reported_and_left) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_loaded_ Loaded loaded = {};

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        test_write_file(test_tmpdir(), DIR "/notes.txt", "");
        test_write_file(test_tmpdir(), DIR "/dir.tmp~/x", "");
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 1);
        ASSERT_EQ(strv_length(loaded.problems), 1);
        ASSERT_TRUE(exists_at(test_tmpdir(), DIR "/notes.txt"));
        ASSERT_TRUE(exists_at(test_tmpdir(), DIR "/dir.tmp~/x"));
}

TEST(setting_aside_is_bounded) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_loaded_ Loaded loaded = {};

        for (unsigned i = 1; i <= 99; i++) {
                _cleanup_free_ char *path = NULL;

                ASSERT_TRUE(asprintf(&path, STATE "/damaged/" RELEASE ".lp_fix.%u/x", i) > 0);
                test_write_file(test_tmpdir(), path, "");
        }
        test_write_file(test_tmpdir(), MANIFEST, "junk");
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 0);
        ASSERT_CONTAINS(loaded.problems[0], "could not be set aside");
        ASSERT_TRUE(exists_at(test_tmpdir(), MANIFEST));
}

TEST(a_foreign_state_directory_is_not_used) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(module_image_unrefp) ModuleImage *image = fixture_image("bytes");
        _cleanup_failure_ Failure failure = {};
        _cleanup_loaded_ Loaded loaded = {};

        patch_record_free(fixture_put(store, "lp_fix", "bytes", NULL));
        ASSERT_OK(fchmodat(test_tmpdir(), STATE, 0777, 0));
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 0);
        ASSERT_CONTAINS(loaded.problems[0], "others than its owner may write");
        ASSERT_EQ(store_put_module(store, RELEASE, "lp_fix", image, &failure), REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure.text, "Check the owner and mode");
        ASSERT_TRUE(exists_at(test_tmpdir(), MANIFEST));
}

TEST(a_state_directory_that_cannot_be_made) {
        _cleanup_(store_closep) Store *store = NULL;
        _cleanup_(module_image_unrefp) ModuleImage *image = fixture_image("bytes");
        _cleanup_failure_ Failure failure = {};
        _cleanup_loaded_ Loaded loaded = {};

        test_write_file(test_tmpdir(), "var/lib", "a file");
        store = open_store();
        loaded = load_in(store, "boot");
        ASSERT_EQ(loaded.list.n, 0);
        ASSERT_EQ(store_put_module(store, RELEASE, "lp_fix", image, &failure), REFUSED_STORE_FAILED);
        ASSERT_CONTAINS(failure.text, "/var/lib/livepatch");
        ASSERT_CONTAINS(failure.text, "Nothing was changed");
}

TEST(a_run_directory_that_cannot_be_made) {
        _cleanup_failure_ Failure failure = {};
        Store *store = NULL;

        test_write_file(test_tmpdir(), "run", "a file");
        ASSERT_EQ(store_open(test_tmpdir(), 0, &store, &failure), REFUSED_STORE_FAILED);
        ASSERT_NULL(store);
        ASSERT_CONTAINS(failure.text, "/run/livepatch");
}

TEST(one_process_at_a_time) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_failure_ Failure failure = {};
        _cleanup_free_ char *process = NULL;
        Store *second = NULL;

        ASSERT_TRUE(asprintf(&process, "Process %d ", (int) getpid()) > 0);
        ASSERT_EQ(store_open(test_tmpdir(), 0, &second, &failure), REFUSED_BUSY);
        ASSERT_CONTAINS(failure.text, process);
        ASSERT_EQ(store_open(test_tmpdir(), 50 * USEC_PER_MSEC, &second, NULL), REFUSED_BUSY);
        ASSERT_NULL(second);
        store = store_close(store);
        ASSERT_EQ(store_open(test_tmpdir(), 0, &second, NULL), 0);
        store_close(second);
}

TEST(a_waiting_process_gets_the_lock) {
        Store *store = NULL;
        int pipe_fds[2], status;
        char byte;
        pid_t pid;

        (void) test_tmpdir();
        ASSERT_OK(pipe2(pipe_fds, O_CLOEXEC));
        pid = fork();
        ASSERT_OK(pid);
        if (pid == 0) {
                bool ok = store_open(test_tmpdir(), 0, &store, NULL) == 0;

                ok = ok && write(pipe_fds[1], "x", 1) == 1;
                (void) usleep(100 * USEC_PER_MSEC);
                _exit(ok ? 0 : 1);
        }
        ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1);
        ASSERT_EQ(store_open(test_tmpdir(), 30 * USEC_PER_SEC, &store, NULL), 0);
        store_close(store);
        safe_close(pipe_fds[0]);
        safe_close(pipe_fds[1]);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}

/* ---- Runtime records ---- */

#define RUNTIME "run/livepatch/patches/lp_fix.json"

static void put_runtime(Store *store) {
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;

        ASSERT_EQ(runtime_record_new("lp_fix", &record), 0);
        record->applied_at = 42;
        ASSERT_EQ(store_put_runtime(store, record, NULL), 0);
}

TEST(runtime_records) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_(runtime_record_freep) RuntimeRecord *record = NULL;
        _cleanup_strv_free_ char **problems = NULL, **names = NULL, **none = NULL;

        ASSERT_EQ(store_list_runtime(store, &none), 0);
        ASSERT_EQ(strv_length(none), 0);
        ASSERT_EQ(store_load_runtime(store, "lp_fix", &record, &problems), -ENOENT);
        put_runtime(store);
        test_write_file(test_tmpdir(), "run/livepatch/patches/not-a-name.json", "");
        test_write_file(test_tmpdir(), "run/livepatch/patches/other", "");
        ASSERT_EQ(store_load_runtime(store, "lp_fix", &record, &problems), 0);
        ASSERT_EQ(record->applied_at, 42);
        ASSERT_EQ(store_list_runtime(store, &names), 0);
        ASSERT_EQ(strv_length(names), 1);
        ASSERT_STREQ(names[0], "lp_fix");
        ASSERT_EQ(strv_length(problems), 0);
        ASSERT_EQ(store_remove_runtime(store, "lp_fix"), 0);
        ASSERT_EQ(store_remove_runtime(store, "lp_fix"), 0);
        ASSERT_FALSE(exists_at(test_tmpdir(), RUNTIME));
}

static void assert_runtime_damaged(Store *store, const char *words) {
        _cleanup_strv_free_ char **problems = NULL;
        RuntimeRecord *record = NULL;

        ASSERT_EQ(store_load_runtime(store, "lp_fix", &record, &problems), -ENOENT);
        ASSERT_NULL(record);
        ASSERT_EQ(strv_length(problems), 1);
        ASSERT_CONTAINS(problems[0], words);
        ASSERT_FALSE(exists_at(test_tmpdir(), RUNTIME));
}

TEST(damaged_runtime_records) {
        _cleanup_(store_closep) Store *store = open_store();

        put_runtime(store);
        test_write_file(test_tmpdir(), RUNTIME, "junk");
        assert_runtime_damaged(store, "not valid JSON");
        put_runtime(store);
        ASSERT_OK(fchmodat(test_tmpdir(), RUNTIME, 0666, 0));
        assert_runtime_damaged(store, "others than its owner may write");
        put_runtime(store);
        ASSERT_OK(renameat(test_tmpdir(), RUNTIME, test_tmpdir(), "run/livepatch/elsewhere"));
        ASSERT_OK(symlinkat("../elsewhere", test_tmpdir(), RUNTIME));
        assert_runtime_damaged(store, "symbolic link");
}

TEST(a_runtime_record_of_another_patch) {
        _cleanup_(store_closep) Store *store = open_store();
        _cleanup_strv_free_ char **problems = NULL;
        RuntimeRecord *record = NULL;

        put_runtime(store);
        ASSERT_OK(renameat(test_tmpdir(), RUNTIME, test_tmpdir(), "run/livepatch/patches/lp_other.json"));
        ASSERT_EQ(store_load_runtime(store, "lp_other", &record, &problems), -ENOENT);
        ASSERT_CONTAINS(problems[0], "the record of 'lp_fix'");
        ASSERT_EQ(store_load_runtime(store, "../lp_fix", &record, &problems), -ENOENT);
        ASSERT_EQ(store_remove_runtime(store, "../lock"), 0);
        ASSERT_TRUE(exists_at(test_tmpdir(), "run/livepatch/lock"));
}
