/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Units and containers out of control groups. */

#include "common/string-util.h"
#include "kmod/task-cgroup.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void assert_parsed(const char *content, const char *unit, const char *user_unit, const char *runtime,
                          const char *container) {
        _cleanup_(task_cgroup_done) TaskCgroup cgroup = {};

        ASSERT_OK(task_cgroup_parse(content, &cgroup));
        ASSERT_NOT_NULL(cgroup.path);
        ASSERT_STREQ(strempty(cgroup.unit), strempty(unit));
        ASSERT_STREQ(strempty(cgroup.user_unit), strempty(user_unit));
        ASSERT_STREQ(strempty(cgroup.runtime), strempty(runtime));
        ASSERT_STREQ(strempty(cgroup.container), strempty(container));
}

TEST(units) {
        assert_parsed("0::/system.slice/ssh.service\n", "ssh.service", NULL, NULL, NULL);
        assert_parsed("0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", NULL, NULL, NULL);
        assert_parsed("0::/system.slice/web.service/workers/3\n", "web.service", NULL, NULL, NULL);
        assert_parsed("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", NULL, NULL, NULL);
        assert_parsed("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.slice/x.service\n",
                      "user@1000.service", "x.service", NULL, NULL);
        assert_parsed("0::/init.scope\n", "init.scope", NULL, NULL, NULL);
        assert_parsed("0::/system.slice/__odd.service\n", "_odd.service", NULL, NULL, NULL);
}

TEST(version_1_and_hybrid) {
        assert_parsed("12:cpu,cpuacct:/\n1:name=systemd:/system.slice/ssh.service\n0::/\n", "ssh.service", NULL, NULL,
                      NULL);
        assert_parsed("4:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", NULL, NULL, "docker", ID);
        assert_parsed("12:cpu,cpuacct:/system.slice/ssh.service\n", NULL, NULL, NULL, NULL);
}

TEST(no_unit) {
        static const char *const contents[] = {
                "", "\n", "\n\n", "0::/\n", "0::\n", "::", "0:", "x::/a.service\n", "0::/system.slice\n",
                "0::/a.slice/b\n", "0::/plain/a.service\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(contents); i++)
                assert_parsed(contents[i], NULL, NULL, NULL, NULL);
}

TEST(containers) {
        assert_parsed("0::/system.slice/docker-" ID ".scope\n", "docker-" ID ".scope", NULL, "docker", ID);
        assert_parsed("0::/docker/" ID "\n", NULL, NULL, "docker", ID);
        assert_parsed("0::/machine.slice/libpod-" ID ".scope/container\n", "libpod-" ID ".scope", NULL, "podman", ID);
        assert_parsed("0::/system.slice/web.service/libpod-payload-" ID "\n", "web.service", NULL, "podman", ID);
        assert_parsed("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope\n",
                      "user@1000.service", "libpod-" ID ".scope", "podman", ID);
        assert_parsed("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope\n",
                      "cri-containerd-" ID ".scope", NULL, "containerd", ID);
        assert_parsed("0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope\n", "crio-" ID ".scope", NULL, "cri-o",
                      ID);
        assert_parsed("0::/kubepods/burstable/pod7e0c/" ID "\n", NULL, NULL, "kubernetes", ID);
        assert_parsed("0::/lxc.payload.web/system.slice/nginx.service\n", NULL, NULL, "lxc", "web");
        assert_parsed("0::/lxc/web\n", NULL, NULL, "lxc", "web");
        assert_parsed("0::/machine.slice/machine-my\\x2dbox.scope/payload\n", "machine-my\\x2dbox.scope", NULL,
                      "machine", "my-box");
        assert_parsed("0::/machine.slice/systemd-nspawn@box.service/payload/init.scope\n",
                      "systemd-nspawn@box.service", NULL, "machine", "box");
}

TEST(what_only_looks_like_a_container) {
        assert_parsed("0::/system.slice/docker.service\n", "docker.service", NULL, NULL, NULL);
        assert_parsed("0::/system.slice/docker-0123.scope\n", "docker-0123.scope", NULL, NULL, NULL);
        assert_parsed("0::/system.slice/docker-" ID "0.scope\n", "docker-" ID "0.scope", NULL, NULL, NULL);
        assert_parsed("0::/machine.slice/libpod-conmon-" ID ".scope\n", "libpod-conmon-" ID ".scope", NULL, NULL, NULL);
        assert_parsed("0::/docker/buildkit\n", NULL, NULL, NULL, NULL);
        assert_parsed("0::/other/" ID "\n", NULL, NULL, NULL, NULL);
        assert_parsed("0::/lxc.monitor.web\n", NULL, NULL, NULL, NULL);
        assert_parsed("0::/lxc.payload.\n", NULL, NULL, NULL, NULL);
        assert_parsed("0::/" ID "\n", NULL, NULL, NULL, NULL);
}

TEST(escapes_that_are_none) {
        assert_parsed("0::/machine.slice/machine-a\\x2\\xzz\\x00\\x1b.scope\n",
                      "machine-a\\x2\\xzz\\x00\\x1b.scope", NULL, "machine", "a\\x2\\xzz\\x00\\x1b");
}
