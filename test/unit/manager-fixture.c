/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A manager over a fake kernel in the case's temporary directory. */

#include "daemon/guard-store.h"
#include "manager-fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fd-util.h"
#include "common/log.h"
#include "common/names.h"
#include "common/string-util.h"
#include "fake-kernel.h"
#include "kmod/module-image.h"
#include "test.h"

/* The machine may be busy with other tests. */
#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* ---- The observer ------------------------------------------------------------------------------------------ */

static Told *told_find(Rig *rig, const char *id) {
        for (size_t i = 0; i < rig->n_told; i++)
                if (streq(rig->told[i].id, id))
                        return rig->told + i;
        return NULL;
}

static void told_done(Told *told) {
        free(told->id);
        free(told->sha256);
        free(told->failure);
}

static void told_update(Told *told, const Patch *patch, int what) {
        if (what & PATCH_CHANGED_STATE) {
                told->state = patch->state;
                ASSERT_OK(free_and_strdup(&told->failure, patch->runtime ? patch->runtime->failure_text : NULL));
        }
        if (what & PATCH_CHANGED_REAPPLY)
                told->reapply = patch->record && patch->record->reapply;
        if (what & PATCH_CHANGED_BUILD)
                ASSERT_OK(free_and_strdup(&told->sha256, patch->record ? patch->record->sha256 : NULL));
}

static void on_patch_added(void *userdata, const Patch *patch) {
        Rig *rig = userdata;
        Told *grown = reallocarray(rig->told, rig->n_told + 1, sizeof(Told));

        ASSERT_NOT_NULL(grown);
        rig->told = grown;
        rig->told[rig->n_told] = (Told) { .id = strdup(patch->id) };
        told_update(rig->told + rig->n_told++, patch, _PATCH_CHANGED_ALL);
}

static void on_patch_changed(void *userdata, const Patch *patch, PatchChange what) {
        Rig *rig = userdata;
        Told *told = told_find(rig, patch->id);

        ASSERT_NOT_NULL(told);
        if (what & PATCH_CHANGED_STATE)
                rig->n_states_announced++;
        told_update(told, patch, what);
}

static void on_patch_removed(void *userdata, const Patch *patch) {
        Rig *rig = userdata;
        Told *told = told_find(rig, patch->id);

        ASSERT_NOT_NULL(told);
        told_done(told);
        *told = rig->told[--rig->n_told];
}

static void on_job_added(void *userdata, const Job *job) {
        Rig *rig = userdata;

        ASSERT_TRUE(job_id(job) > 0);
        rig->n_jobs_added++;
}

static void on_job_changed(void *userdata _unused_, const Job *job) {
        ASSERT_TRUE(job_progress(job) >= 0 && job_progress(job) <= 1);
}

static void on_job_finished(void *userdata, const Job *job) {
        Rig *rig = userdata;

        ASSERT_EQ(job_state(job), JOB_FINISHED);
        ASSERT_TRUE(job_result(job) != JOB_RESULT_NONE);
        rig->n_jobs_finished++;
}

static void on_job_removed(void *userdata _unused_, const Job *job) {
        ASSERT_EQ(job_state(job), JOB_FINISHED);
}

static void on_manager_changed(void *userdata _unused_) {
}

static const ManagerObserver observer = {
        .patch_added = on_patch_added,
        .patch_changed = on_patch_changed,
        .patch_removed = on_patch_removed,
        .job_added = on_job_added,
        .job_changed = on_job_changed,
        .job_finished = on_job_finished,
        .job_removed = on_job_removed,
        .manager_changed = on_manager_changed,
};

/* A client that followed the news knows what is true. */
static void check_told(Rig *rig) {
        ASSERT_EQ(rig->n_told, manager_n_patches(rig->manager));
        for (size_t i = 0; i < rig->n_told; i++) {
                const Patch *patch = manager_patch(rig->manager, i);
                const Told *told = told_find(rig, patch->id);

                ASSERT_NOT_NULL(told);
                ASSERT_STREQ(patch_state_to_string(told->state), patch_state_to_string(patch->state));
                ASSERT_EQ(told->reapply, patch->record && patch->record->reapply);
                ASSERT_TRUE(streq_ptr(told->sha256, patch->record ? patch->record->sha256 : NULL));
                ASSERT_TRUE(streq_ptr(told->failure, patch->runtime ? patch->runtime->failure_text : NULL));
        }
}

/* ---- Answers ----------------------------------------------------------------------------------------------- */

void answer_done(Answer *answer) {
        failure_done(&answer->failure);
        free(answer->patch_id);
        *answer = (Answer) {};
}

void on_answer(void *userdata, const Failure *failure, const Patch *patch, const Job *job) {
        Answer *answer = userdata;

        answer->calls++;
        if (failure)
                (void) failure_copy(&answer->failure, failure);
        ASSERT_OK(free_and_strdup(&answer->patch_id, patch ? patch->id : NULL));
        answer->job_id = job ? job_id(job) : 0;
}

/* ---- Life -------------------------------------------------------------------------------------------------- */

static char *build_path(const char *relative) {
        const char *base = getenv("LIVEPATCH_BUILD_DIR");
        char *path;

        ASSERT_NOT_NULL(base);
        ASSERT_TRUE(asprintf(&path, "%s/test/%s", base, relative) > 0);
        return path;
}

static void start_kernel(Rig *rig) {
        _cleanup_free_ char *path = build_path("mock/fake-kerneld");
        char *const argv[] = { path, (char *) "run", rig->path, NULL };

        ASSERT_EQ(posix_spawn(&rig->kernel, path, NULL, NULL, argv, environ), 0);
}

static void make_root(Rig *rig) {
        static unsigned serial;
        _cleanup_free_ char *name = NULL;

        log_set_target(LOG_TARGET_NULL);
        ASSERT_TRUE(asprintf(&name, "%u", serial++) > 0);
        ASSERT_OK(mkdirat(test_tmpdir(), name, 0755));
        ASSERT_TRUE(asprintf(&rig->path, "%s/%s", test_tmpdir_path(), name) > 0);
        rig->root_fd = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(rig->root_fd);
}

void rig_copy_files(Rig *rig, const Rig *from, const char *what) {
        _cleanup_free_ char *contents = NULL;
        char *argv[] = { (char *) "cp", (char *) "-a", NULL, NULL, NULL };
        pid_t pid;
        int status;

        make_root(rig);
        ASSERT_TRUE(asprintf(&contents, "%s/%s", from->path, what) > 0);
        argv[2] = contents;
        argv[3] = rig->path;
        ASSERT_EQ(posix_spawnp(&pid, "cp", NULL, NULL, argv, environ), 0);
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
        ASSERT_EQ(status, 0);
}

void rig_prepare_copy(Rig *rig, const Rig *from) {
        rig_copy_files(rig, from, ".");
        start_kernel(rig);
}

void rig_prepare(Rig *rig) {
        _cleanup_free_ char *certificate = NULL;

        make_root(rig);
        ASSERT_OK(fake_kernel_create(rig->root_fd, RELEASE));
        certificate = test_read_data("build:test/unit/manager/modules/good.pem", NULL);
        test_write_file(rig->root_fd, "etc/livepatch/trusted.d/good.pem", certificate);
        start_kernel(rig);
}

void rig_go_on(Rig *rig) {
        _cleanup_failure_ Failure failure = {};

        if (!rig->event)
                ASSERT_OK(sd_event_new(&rig->event));
        if (manager_new(rig->event, rig->root_fd, NULL, &rig->manager, &failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&failure));
        manager_set_observer(rig->manager, &observer, rig);
        if (manager_start(rig->manager, &failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&failure));
        /* Everything has been told; from here on the news alone must do. */
        for (size_t i = 0; i < rig->n_told; i++)
                told_update(rig->told + i, manager_find_patch(rig->manager, rig->told[i].id), _PATCH_CHANGED_ALL);
}

void rig_start(Rig *rig) {
        rig_prepare(rig);
        rig_go_on(rig);
}

static void forget_told(Rig *rig) {
        for (size_t i = 0; i < rig->n_told; i++)
                told_done(rig->told + i);
        free(rig->told);
        rig->told = NULL;
        rig->n_told = 0;
}

void rig_stop(Rig *rig) {
        rig->manager = manager_free(rig->manager);
        forget_told(rig);
}

static void forget_runtime_records(Rig *rig) {
        _cleanup_strv_free_ char **names = NULL;
        int n = list_dir_at(rig->root_fd, RUN "/patches", &names);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = NULL;

                ASSERT_TRUE(asprintf(&path, RUN "/patches/%s", names[i]) > 0);
                (void) unlinkat(rig->root_fd, path, 0);
        }
}

void rig_power_cut(Rig *rig) {
        rig_stop(rig);
        ASSERT_OK(fake_kernel_reboot(rig->root_fd));
        /* A tmpfs does not survive. */
        forget_runtime_records(rig);
        (void) unlinkat(rig->root_fd, RUN "/settling", 0);
        rig_go_on(rig);
}

void rig_reboot(Rig *rig) {
        rig_stop(rig);
        ASSERT_OK(guard_mark_shutdown(rig->root_fd, true, NULL));
        rig_power_cut(rig);
}

void rig_stop_kernel(Rig *rig) {
        if (rig->kernel <= 0)
                return;
        (void) kill(rig->kernel, SIGTERM);
        (void) waitpid(rig->kernel, NULL, 0);
        rig->kernel = 0;
}

void rig_done(Rig *rig) {
        if (rig->manager) {
                check_told(rig);
                ASSERT_EQ(rig->n_jobs_added >= rig->n_jobs_finished, true);
        }
        rig_stop(rig);
        sd_event_unref(rig->event);
        rig_stop_kernel(rig);
        safe_close(rig->root_fd);
        free(rig->path);
}

/* ---- The kernel's side ------------------------------------------------------------------------------------- */

void rig_control(Rig *rig, const char *name, const char *value) {
        _cleanup_free_ char *path = NULL;

        ASSERT_TRUE(asprintf(&path, "ctl/%s", name) > 0);
        if (value)
                ASSERT_OK(fake_kernel_set_attribute(rig->root_fd, path, value));
        else
                ASSERT_OK(unlinkat(rig->root_fd, path, 0));
}

void rig_configure(Rig *rig, const char *text) {
        _cleanup_free_ char *content = NULL;

        ASSERT_TRUE(asprintf(&content, "[Livepatch]\n%s\n", text) > 0);
        test_write_file(rig->root_fd, LP_CONFIG_FILE, content);
}

int rig_open(const char *module) {
        _cleanup_free_ char *relative = NULL, *path = NULL;
        int fd;

        ASSERT_TRUE(asprintf(&relative, "unit/manager/modules/%s.ko", module) > 0);
        path = build_path(relative);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                test_fail(__FILE__, __LINE__, "cannot open %s: %m", path);
        return fd;
}

void rig_insmod(Rig *rig, const char *module) {
        _cleanup_(module_image_unrefp) ModuleImage *image = NULL;
        _cleanup_(module_info_freep) ModuleInfo *info = NULL;
        _cleanup_close_ int fd = rig_open(module);

        ASSERT_EQ(module_image_new_from_fd(fd, MIB(64), NULL, &image, NULL), 0);
        ASSERT_EQ(module_elf_inspect_untrusted(module_image_data(image), module_image_size(image), NULL, &info, NULL),
                  0);
        ASSERT_OK(fake_kernel_load(rig->root_fd, info));
}

void rig_write_enabled(Rig *rig, const char *name, const char *value) {
        _cleanup_free_ char *path = NULL;

        ASSERT_TRUE(asprintf(&path, "sys/kernel/livepatch/%s/enabled", name) > 0);
        ASSERT_OK(write_string_at(rig->root_fd, path, value));
}

bool rig_exists(Rig *rig, const char *path) {
        return exists_at(rig->root_fd, path);
}

char *rig_read(Rig *rig, const char *path) {
        char *text;

        ASSERT_OK(read_file_at(rig->root_fd, path, MIB(1), &text, NULL));
        return text;
}

unsigned rig_count_calls(Rig *rig, const char *file, const char *name) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        char *state = NULL;
        unsigned n = 0;

        ASSERT_TRUE(asprintf(&path, "ctl/%s", file) > 0);
        if (!rig_exists(rig, path))
                return 0;
        text = rig_read(rig, path);
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *rest = startswith(line, name);

                n += rest && (*rest == ' ' || *rest == '\0');
        }
        return n;
}

/* ---- The loop ---------------------------------------------------------------------------------------------- */

static uint64_t now_monotonic(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

uint64_t rig_deadline(Rig *rig _unused_) {
        return now_monotonic() + PATIENCE_USEC;
}

bool rig_iterate(Rig *rig, uint64_t until) {
        uint64_t now = now_monotonic();

        if (now >= until)
                return false;
        ASSERT_OK(sd_event_run(rig->event, MIN(until - now, 20 * USEC_PER_MSEC)));
        return true;
}

void rig_run_for(Rig *rig, uint64_t usec) {
        uint64_t until = now_monotonic() + usec;

        while (rig_iterate(rig, until))
                ;
}

/* ---- Operations -------------------------------------------------------------------------------------------- */

static void wait_for_answer(Rig *rig, Answer *answer, int r) {
        if (r != 0)
                test_fail(__FILE__, __LINE__, "refused at once: %s", failure_text(&answer->failure));
        RIG_WAIT(rig, answer->calls > 0);
        ASSERT_EQ(answer->calls, 1);
}

static uint32_t accepted_job(Rig *rig, Answer *answer, int r) {
        uint32_t id;

        wait_for_answer(rig, answer, r);
        if (answer->failure.code != 0)
                test_fail(__FILE__, __LINE__, "refused: %s", failure_text(&answer->failure));
        id = answer->job_id;
        ASSERT_TRUE(id > 0);
        answer_done(answer);
        return id;
}

uint32_t rig_apply_with(Rig *rig, const char *module, const OperationOptions *options) {
        Answer answer = {};

        return accepted_job(rig, &answer, manager_apply_fd(rig->manager, rig_open(module), options, UID, on_answer,
                                                           &answer, &answer.failure));
}

uint32_t rig_apply(Rig *rig, const char *module, bool runtime) {
        return rig_apply_with(rig, module, RUNTIME(runtime));
}

uint32_t rig_apply_name(Rig *rig, const char *patch_id, bool runtime) {
        Answer answer = {};

        return accepted_job(rig, &answer, manager_apply(rig->manager, patch_id, RUNTIME(runtime), UID, on_answer,
                                                        &answer, &answer.failure));
}

uint32_t rig_revert_with(Rig *rig, const char *patch_id, const OperationOptions *options) {
        Answer answer = {};

        return accepted_job(rig, &answer, manager_revert(rig->manager, patch_id, options, UID, on_answer, &answer,
                                                         &answer.failure));
}

uint32_t rig_revert(Rig *rig, const char *patch_id, bool runtime) {
        return rig_revert_with(rig, patch_id, RUNTIME(runtime));
}

uint32_t rig_reapply(Rig *rig) {
        Answer answer = {};

        return accepted_job(rig, &answer, manager_reapply(rig->manager, 0, on_answer, &answer, &answer.failure));
}

void rig_stage(Rig *rig, const char *module, bool reapply) {
        _cleanup_answer_ Answer answer = {};

        wait_for_answer(rig, &answer, manager_stage_fd(rig->manager, rig_open(module), reapply, UID, on_answer,
                                                       &answer, &answer.failure));
        if (answer.failure.code != 0)
                test_fail(__FILE__, __LINE__, "refused: %s", failure_text(&answer.failure));
        ASSERT_NOT_NULL(answer.patch_id);
}

void rig_set_reapply(Rig *rig, const char *patch_id, bool reapply) {
        _cleanup_answer_ Answer answer = {};

        wait_for_answer(rig, &answer, manager_set_reapply(rig->manager, patch_id, reapply, UID, on_answer, &answer,
                                                          &answer.failure));
        if (answer.failure.code != 0)
                test_fail(__FILE__, __LINE__, "refused: %s", failure_text(&answer.failure));
        ASSERT_STREQ(answer.patch_id, patch_id);
}

static int refusal(Rig *rig, Answer *answer, int r, Failure *f) {
        if (r == 0) {
                RIG_WAIT(rig, answer->calls > 0);
                ASSERT_EQ(answer->calls, 1);
                ASSERT_EQ(answer->job_id, 0);
        } else
                ASSERT_EQ(answer->failure.code, r);
        r = failure_move(f, &answer->failure);
        answer_done(answer);
        return r;
}

int rig_remove(Rig *rig, const char *patch_id, Failure *f) {
        Answer answer = {};
        int r = manager_remove(rig->manager, patch_id, UID, on_answer, &answer, &answer.failure);

        if (r == 0) {
                RIG_WAIT(rig, answer.calls > 0);
                answer.job_id = 0; /* that of the job that has ended */
        }
        return refusal(rig, &answer, r, f);
}

int rig_apply_refused(Rig *rig, const char *module, bool runtime, Failure *f) {
        Answer answer = {};
        int r = manager_apply_fd(rig->manager, rig_open(module), RUNTIME(runtime), UID, on_answer, &answer,
                                 &answer.failure);

        return refusal(rig, &answer, r, f);
}

Job *rig_job(Rig *rig, uint32_t id) {
        Job *job = manager_find_job(rig->manager, id);

        if (!job)
                test_fail(__FILE__, __LINE__, "there is no job %u", id);
        return job;
}

JobResult rig_wait_job(Rig *rig, uint32_t id) {
        RIG_WAIT(rig, job_state(rig_job(rig, id)) == JOB_FINISHED);
        return job_result(rig_job(rig, id));
}

void rig_expect(Rig *rig, uint32_t id, JobResult result) {
        if (rig_wait_job(rig, id) != result)
                test_fail(__FILE__, __LINE__, "job %u ended as %s: %s", id,
                          job_result_to_string(job_result(rig_job(rig, id))),
                          failure_text(job_failure(rig_job(rig, id))));
        ASSERT_EQ(job_failure(rig_job(rig, id))->code == 0, result == JOB_RESULT_DONE);
}

void rig_cancel(Rig *rig, uint32_t id) {
        _cleanup_failure_ Failure failure = {};

        if (job_cancel(rig_job(rig, id), &failure) != 0)
                test_fail(__FILE__, __LINE__, "%s", failure_text(&failure));
}

void rig_apply_done(Rig *rig, const char *module, bool runtime) {
        rig_expect(rig, rig_apply(rig, module, runtime), JOB_RESULT_DONE);
}

void rig_revert_done(Rig *rig, const char *patch_id, bool runtime) {
        rig_expect(rig, rig_revert(rig, patch_id, runtime), JOB_RESULT_DONE);
}

const Patch *rig_patch(Rig *rig, const char *id) {
        manager_refresh_patches(rig->manager);
        return manager_find_patch(rig->manager, id);
}

void rig_expect_state(Rig *rig, const char *id, PatchState state) {
        const Patch *patch = rig_patch(rig, id);

        if (!patch)
                test_fail(__FILE__, __LINE__, "there is no patch '%s'", id);
        ASSERT_STREQ(patch_state_to_string(patch->state), patch_state_to_string(state));
}
