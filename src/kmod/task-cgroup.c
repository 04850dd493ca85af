/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a task's control group says about it: its systemd unit, and the container that it runs in. */

#include <ctype.h>

#include "common/string-util.h"
#include "kmod/task-cgroup.h"

/* Docker, Podman and the CRI runtimes name containers by 256 bits in hexadecimal digits. */
#define CONTAINER_ID_DIGITS 64

void task_cgroup_done(TaskCgroup *cgroup) {
        free(cgroup->path);
        free(cgroup->unit);
        free(cgroup->user_unit);
        free(cgroup->runtime);
        free(cgroup->container);
        *cgroup = (TaskCgroup) {};
}

/* The path of a line "ID:CONTROLLERS:PATH" with these ID and CONTROLLERS; *ret_length 0 if there is none. */
static const char *find_hierarchy(const char *content, const char *controllers, size_t *ret_length) {
        size_t length = strlen(controllers);

        for (const char *line = content; *line; line += strspn(line, "\n")) {
                size_t line_length = strcspn(line, "\n"), id = strspn(line, "0123456789");

                if (id < line_length && strncmp(line + id, controllers, length) == 0) {
                        *ret_length = line_length - id - length;
                        return line + id + length;
                }
                line += line_length;
        }
        *ret_length = 0;
        return NULL;
}

/* systemd's own hierarchy where there are several (version 1), else the one of version 2. */
static char *hierarchy_path(const char *content) {
        size_t length;
        const char *path = find_hierarchy(content, ":name=systemd:", &length);

        if (length == 0)
                path = find_hierarchy(content, "::", &length);
        return length == 0 ? strdup("") : strndup(path, length);
}

static int split_path(const char *path, char ***ret) {
        _cleanup_strv_free_ char **components = NULL;

        while (*(path += strspn(path, "/"))) {
                size_t length = strcspn(path, "/");
                _cleanup_free_ char *component = strndup(path, length);
                int r = component ? strv_append(&components, component) : -ENOMEM;

                if (r < 0)
                        return r;
                path += length;
        }
        *ret = TAKE_PTR(components);
        return 0;
}

static bool is_unit(const char *component) {
        static const char *const suffixes[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (endswith(component, suffixes[i]))
                        return true;
        return false;
}

/* The unit behind any number of slices; *components stands behind it afterwards. NULL: there is none. */
static const char *next_unit(char ***components) {
        char **i = *components;
        const char *unit;

        while (*i && endswith(*i, ".slice"))
                i++;
        if (!*i || !is_unit(*i))
                return NULL;
        unit = *i;
        *components = i + 1;
        /* systemd puts a '_' in front of names that the kernel could mistake for files of its own (cg_escape()). */
        return unit[0] == '_' ? unit + 1 : unit;
}

static int find_units(char **components, TaskCgroup *cgroup) {
        const char *unit = next_unit(&components), *user_unit = NULL;
        int r = free_and_strdup(&cgroup->unit, unit);

        if (r < 0)
                return r;
        if (unit && startswith(unit, "user@") && endswith(unit, ".service"))
                user_unit = next_unit(&components);
        return free_and_strdup(&cgroup->user_unit, user_unit);
}

/* systemd.unit(5): "\x2d" stands for "-" in names that something else has chosen. */
static void unescape_unit_name(char *s) {
        char *out = s;

        while (*s) {
                unsigned code;

                if (s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char) s[2]) && isxdigit((unsigned char) s[3]) &&
                    sscanf(s + 2, "%2x", &code) == 1 && code > ' ' && code < 127) {
                        *out++ = (char) code;
                        s += STRLEN("\\x2d");
                } else
                        *out++ = *s++;
        }
        *out = '\0';
}

static int set_container(TaskCgroup *cgroup, const char *runtime, const char *name, size_t length) {
        cgroup->runtime = strdup(runtime);
        cgroup->container = strndup(name, length);
        if (!cgroup->runtime || !cgroup->container)
                return -ENOMEM;
        unescape_unit_name(cgroup->container);
        return 1;
}

/* Length of an id, alone or in a scope; 0: something else. */
static size_t container_id_length(const char *s) {
        size_t length = strspn(s, "0123456789abcdef");

        return length == CONTAINER_ID_DIGITS && (s[length] == '\0' || streq(s + length, ".scope")) ? length : 0;
}

/* "docker-ID.scope" and the like: one component says it all. 1: found. */
static int match_prefix(const char *component, TaskCgroup *cgroup) {
        static const struct {
                const char *prefix;
                const char *runtime;
        } prefix_table[] = {
                { "docker-", "docker" },       { "libpod-", "podman" },
                { "libpod-payload-", "podman" }, { "crio-", "cri-o" },
                { "cri-containerd-", "containerd" },
        };

        for (size_t i = 0; i < ELEMENTSOF(prefix_table); i++) {
                const char *id = startswith(component, prefix_table[i].prefix);
                size_t length = id ? container_id_length(id) : 0;

                if (length > 0)
                        return set_container(cgroup, prefix_table[i].runtime, id, length);
        }
        return 0;
}

/* "machine-NAME.scope" of systemd-machined, "systemd-nspawn@NAME.service", "lxc.payload.NAME". */
static int match_machine(const char *component, TaskCgroup *cgroup) {
        const char *name = startswith(component, "machine-");

        if (name && endswith(name, ".scope"))
                return set_container(cgroup, "machine", name, strlen(name) - STRLEN(".scope"));
        name = startswith(component, "systemd-nspawn@");
        if (name && endswith(name, ".service"))
                return set_container(cgroup, "machine", name, strlen(name) - STRLEN(".service"));
        name = startswith(component, "lxc.payload.");
        return isempty(name) ? 0 : set_container(cgroup, "lxc", name, strlen(name));
}

/* Where the runtime makes its groups itself: "docker/ID", "podUID/ID", "lxc/NAME". */
static int match_pair(const char *parent, const char *component, TaskCgroup *cgroup) {
        size_t length = container_id_length(component);

        if (streq(parent, "docker") && length > 0)
                return set_container(cgroup, "docker", component, length);
        if (startswith(parent, "pod") && length > 0)
                return set_container(cgroup, "kubernetes", component, length);
        if (streq(parent, "lxc") || streq(parent, "lxc.payload"))
                return set_container(cgroup, "lxc", component, strlen(component));
        return 0;
}

/* The outermost one: what is inside of it is its own affair. */
static int find_container(char **components, TaskCgroup *cgroup) {
        for (char **i = components; i && *i; i++) {
                int r = match_prefix(*i, cgroup);

                if (r == 0)
                        r = match_machine(*i, cgroup);
                if (r == 0 && i > components)
                        r = match_pair(i[-1], *i, cgroup);
                if (r != 0)
                        return r;
        }
        return 0;
}

int task_cgroup_parse(const char *content, TaskCgroup *ret) {
        _cleanup_(task_cgroup_done) TaskCgroup cgroup = { .path = hierarchy_path(content) };
        _cleanup_strv_free_ char **components = NULL;
        int r = cgroup.path ? split_path(cgroup.path, &components) : -ENOMEM;

        if (r < 0)
                return r;
        if (components)
                r = find_units(components, &cgroup);
        if (r >= 0)
                r = find_container(components, &cgroup);
        if (r < 0)
                return r;
        *ret = cgroup;
        cgroup = (TaskCgroup) {};
        return 0;
}
