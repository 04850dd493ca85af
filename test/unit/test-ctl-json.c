/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* livepatchctl's documents: keys, shapes, events of "monitor". */

#include "common/macro.h"
#include "ctl/json-util.h"
#include "ctl/monitor-event.h"
#include "test.h"

static json_t *parse(const char *text) {
        json_t *value = json_loads(text, 0, NULL);

        ASSERT_NOT_NULL(value);
        return value;
}

static void assert_json(const json_t *value, const char *expected) {
        json_auto_t *wanted = parse(expected);
        _cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

        if (!json_equal(value, wanted))
                test_fail(__FILE__, __LINE__, "%s instead of %s", text ? text : "nothing", expected);
}

static void assert_key(const char *name, const char *expected) {
        _cleanup_free_ char *key = json_key_from_dbus(name);

        ASSERT_STREQ(key, expected);
}

TEST(keys) {
        assert_key("KernelRelease", "kernel_release");
        assert_key("BuildId", "build_id");
        assert_key("CVEs", "cves");
        assert_key("Sha256", "sha256");
        assert_key("not-before", "not_before");
        assert_key("ModuleSignatureEnforced", "module_signature_enforced");
        assert_key("x", "x");
        assert_key("", "");
}

TEST(patch_is_shaped) {
        json_auto_t *patch = parse("{\"objects\": [[\"vmlinux\", true, [[\"f\", 1, true], [\"g\", 2, false]]]],"
                                   " \"applied_at\": 5, \"applied_by\": 0}");

        ASSERT_EQ(json_shape_patch(patch), 0);
        assert_json(patch, "{\"objects\": [{\"name\": \"vmlinux\", \"loaded\": true, \"functions\": ["
                           "{\"name\": \"f\", \"sympos\": 1, \"patched\": true},"
                           "{\"name\": \"g\", \"sympos\": 2, \"patched\": false}]}],"
                           " \"applied_at\": 5, \"applied_by\": 0}");
}

TEST(patch_says_null_for_what_is_not_known) {
        json_auto_t *patch = parse("{\"applied_at\": 0, \"applied_by\": 4294967295}");
        json_auto_t *other = parse("{\"name\": \"x\"}");

        ASSERT_EQ(json_shape_patch(patch), 0);
        assert_json(patch, "{\"applied_at\": null, \"applied_by\": null}");
        /* Nothing is invented. */
        ASSERT_EQ(json_shape_patch(other), 0);
        assert_json(other, "{\"name\": \"x\"}");
}

TEST(patch_of_another_version_is_survived) {
        json_auto_t *patch = parse("{\"objects\": [[\"vmlinux\"], 7, [\"x\", true, 3]]}");

        ASSERT_EQ(json_shape_patch(patch), 0);
        ASSERT_TRUE(json_is_array(json_object_get(patch, "objects")));
}

TEST(values_of_the_wrong_type_are_nothing) {
        json_auto_t *o = parse("{\"s\": 1, \"n\": \"x\", \"f\": 1, \"negative\": -1}");

        ASSERT_STREQ(json_text(o, "s"), "");
        ASSERT_STREQ(json_text(o, "missing"), "");
        ASSERT_STREQ(json_text(NULL, "s"), "");
        ASSERT_EQ(json_number(o, "n"), 0);
        ASSERT_EQ(json_number(o, "negative"), 0);
        ASSERT_FALSE(json_flag(o, "f"));
}

TEST(documents_have_a_version) {
        json_auto_t *document = json_document("patches", json_array());

        assert_json(document, "{\"schema\": 1, \"patches\": []}");
        ASSERT_NULL(json_document("patches", NULL));
}

static void assert_event(const char *signal, const char *path, const char *arguments, const char *expected,
                         const char *expected_text) {
        json_auto_t *list = parse(arguments), *event = monitor_event_new(signal, path, list, 7);
        _cleanup_free_ char *text = NULL;

        assert_json(event, expected);
        text = monitor_event_text(event);
        ASSERT_STREQ(text, expected_text);
}

TEST(job_events) {
        assert_event("JobNew", "/org/livepatch", "[3, \"/org/livepatch/job/3\"]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"job-new\", \"path\": \"/org/livepatch/job/3\","
                     " \"id\": 3}",
                     "job 3 is new");
        assert_event("JobRemoved", "/org/livepatch", "[3, \"/org/livepatch/job/3\", \"stalled\"]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"job-removed\", \"path\": \"/org/livepatch/job/3\","
                     " \"id\": 3, \"result\": \"stalled\"}",
                     "job 3 has ended: stalled");
}

TEST(property_events) {
        assert_event("PropertiesChanged", "/org/livepatch/patch/lp_5fx",
                     "[\"org.livepatch.Patch\", {\"state\": \"applied\", \"reapply\": true, \"cves\": []}, []]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"patch-changed\","
                     " \"path\": \"/org/livepatch/patch/lp_5fx\","
                     " \"properties\": {\"state\": \"applied\", \"reapply\": true, \"cves\": []}}",
                     "patch lp_x: state=applied reapply=yes");
        assert_event("PropertiesChanged", "/org/livepatch/job/3",
                     "[\"org.livepatch.Job\", {\"progress\": 0.5, \"tasks_pending\": 2}, []]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"job-changed\", \"path\": \"/org/livepatch/job/3\","
                     " \"properties\": {\"progress\": 0.5, \"tasks_pending\": 2}}",
                     "job 3: progress=0.50 tasks_pending=2");
}

TEST(patches_and_the_service_come_and_go) {
        assert_event("InterfacesRemoved", "/org/livepatch", "[\"/org/livepatch/patch/lp_5fx\", []]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"patch-removed\","
                     " \"path\": \"/org/livepatch/patch/lp_5fx\"}",
                     "patch lp_x is gone");
        assert_event("NameOwnerChanged", "/", "[\"org.livepatch\", \":1.5\", \"\"]",
                     "{\"schema\": 1, \"time\": 7, \"event\": \"stopped\", \"path\": \"\"}",
                     "livepatchd has stopped; it starts again when it is needed");
}

static void assert_no_event(const char *signal, const char *arguments) {
        json_auto_t *list = parse(arguments);

        ASSERT_NULL(monitor_event_new(signal, "/org/livepatch/patch/x", list, 7));
}

TEST(what_is_no_event) {
        assert_no_event("Unknown", "[]");
        assert_no_event("PropertiesChanged", "[]");
        assert_no_event("PropertiesChanged", "[\"org.livepatch.Patch\", {}, [\"Objects\"]]");
        assert_no_event("PropertiesChanged", "[\"org.freedesktop.LogControl1\", {\"log_level\": \"info\"}, []]");
        assert_no_event("InterfacesAdded", "[\"/org/livepatch/job/1\", {\"org.livepatch.job\": {}}]");
        assert_no_event("InterfacesAdded", "[]");
        assert_no_event("InterfacesRemoved", "[\"/org/livepatch/job/1\", []]");
}

TEST(names_in_paths_cannot_steer_the_terminal) {
        json_auto_t *event = parse("{\"event\": \"patch-removed\", \"path\": \"/org/livepatch/patch/a_1bb_9\"}");
        _cleanup_free_ char *text = monitor_event_text(event);

        ASSERT_STREQ(text, "patch a?b_9 is gone");
}
