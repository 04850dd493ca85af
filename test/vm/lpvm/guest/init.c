/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test machine's initrd: loads the modules that /dev/vda needs, mounts it and hands over to its init. */

#define _GNU_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what) {
        fprintf(stderr, "test initrd: %s: %m\n", what);
        sleep(1);
        reboot(RB_POWER_OFF);
        _exit(1);
}

static void load_modules(void) {
        char path[256];
        FILE *list = fopen("/modules/order", "re");

        if (!list)
                die("/modules/order");
        while (fscanf(list, "%255s", path) == 1) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);

                if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
                        fprintf(stderr, "test initrd: %s: %m\n", path);
                close(fd);
        }
        fclose(list);
}

int main(int argc, char **argv) {
        (void) argc;

        mkdir("/dev", 0755);
        mkdir("/root", 0755);
        if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0)
                die("/dev");
        load_modules();
        for (int attempt = 0; access("/dev/vda", F_OK) < 0; attempt++) {
                if (attempt > 1000)
                        die("/dev/vda");
                usleep(10 * 1000);
        }
        if (mount("/dev/vda", "/root", "ext4", 0, NULL) < 0)
                die("mounting /dev/vda");
        if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0)
                die("moving /dev");
        if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
                die("switching to the root file system");
        execv("/sbin/init", argv);
        die("/sbin/init");
}
