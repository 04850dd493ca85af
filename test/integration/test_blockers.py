#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds up a transition, over the bus and by livepatchctl."""

import json
import os
import subprocess

import fixtures
import harness

CTL = os.environ.get('LIVEPATCHCTL', os.path.join(harness.BUILD_DIR, 'src/ctl/livepatchctl'))
# The one that the fake kernel leaves behind when a transition stalls.
TASK = 'proc/980/task/980'
UNKNOWN_USER = 4294967295


class Blockers(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.describe_task('980 (web) S 1 980 980 0 -1 4194560 0 0', 'web\0--port\00080\0',
                           '0::/system.slice/web.service\n')

    def describe_task(self, stat, command_line, cgroup):
        self.write(f'{TASK}/stat', stat)
        self.write(f'{TASK}/cmdline', command_line)
        self.write(f'{TASK}/status', 'Name:\tx\nUid:\t0\t33\t0\t0\n')
        self.write(f'{TASK}/cgroup', cgroup)

    def stall(self):
        """Applies lp_one, which does not come to its end, and waits until one task is left."""
        self.control('transition-ms', 'stall')
        self.control('unpatch-ms', 0)
        job = self.client.apply(fixtures.module())
        harness.wait_until(lambda: self.client.get(job, harness.JOB, 'TasksPending') == 1, 'one task is left')
        self.patch = self.client.manager('GetPatch', '(s)', 'lp_one')

    def list(self, path):
        return self.client.call(path, harness.PATCH, 'ListBlockers')

    def ctl(self, *arguments, code=0):
        p = subprocess.run([CTL, *arguments], env={**self.environment(), 'LC_ALL': 'C.UTF-8'}, text=True, check=False,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT)
        self.assertEqual(p.returncode, code, f'{arguments}: {p.stdout}{p.stderr}')
        return p.stdout

    def test_a_stalled_transition(self):
        self.write(f'{TASK}/stack', '[<0>] msleep+0x2d/0x40\n[<0>] cmdline_proc_show+0x1a/0x30\n')
        self.stall()
        blocker, = self.list(self.patch)
        self.assertEqual(blocker, {
            'tid': 980, 'pid': 980, 'comm': 'web', 'command-line': 'web --port 80', 'uid': 33, 'state': 'S',
            'kernel-thread': False, 'unit': 'web.service', 'user-unit': '', 'container': '', 'container-runtime': '',
            'cgroup': '/system.slice/web.service', 'stack-status': 'read',
            'stack': ['msleep+0x2d/0x40', 'cmdline_proc_show+0x1a/0x30'], 'wait-channel': '',
            'function': 'cmdline_proc_show', 'object': 'vmlinux', 'advice': 'restart-unit',
            'advice-text': 'Restart its service: systemctl restart web.service', 'total': 1})
        self.control('transition-ms', 0)
        self.client.wait_state(self.patch, 'applied')
        self.assertEqual(self.list(self.patch), [])

    def test_without_a_stack(self):
        self.stall()
        blocker, = self.list(self.patch)
        self.assertEqual((blocker['stack-status'], blocker['stack'], blocker['function']), ('unavailable', [], ''))

    def test_hostile_text(self):
        self.describe_task('980 (\x1b]0;x\x07\u202e) S 1 980 980 0 -1 0 0', 'a\x1b[2J\nb\0' + 'x' * 100000,
                           '0::/system.slice/\x1b[2J.service\n')
        self.stall()
        blocker, = self.list(self.patch)
        self.assertLess(len(blocker['command-line']), 600)
        text = ''.join(v for v in blocker.values() if isinstance(v, str)) + self.ctl('blockers', '--full')
        for character in '\x1b\x07\u202e':
            self.assertNotIn(character, text)

    def test_not_in_transition(self):
        path = self.client.stage(fixtures.module())
        self.assertEqual(self.list(path), [])
        self.client.wait_job(self.client.patch(path, 'Apply'))
        self.assertEqual(self.list(path), [])

    def test_patch_of_another_kernel(self):
        """Its name does not stand for this kernel's patch."""
        self.stall()
        release = '6.1.0-99-amd64'
        os.makedirs(self.path(f'usr/lib/modules/{release}'))
        other = self.client.stage(fixtures.module(release=release, build=7))
        self.assertEqual(self.list(other), [])
        self.assertEqual(len(self.list(self.patch)), 1)

    def test_no_such_patch(self):
        self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownObject', self.list, harness.ROOT_PATH + '/patch/none')

    def test_wrong_arguments(self):
        path = self.client.stage(fixtures.module())
        self.assert_error(harness.FREEDESKTOP_ERROR + 'InvalidArgs', self.client.call, path, harness.PATCH,
                          'ListBlockers', '(a{sv})', {})

    def test_proc_that_makes_no_sense(self):
        self.describe_task('nonsense', '', '')
        self.stall()
        text = self.assert_error('Failed', self.list, self.patch)
        self.assertIn('transition goes on', text)

    def test_burst(self):
        self.stall()
        calls = [self.client.begin(self.patch, harness.PATCH, 'ListBlockers') for _ in range(100)]
        answers = [call.wait() for call in calls]
        for answer in answers:
            if answer.error:
                self.assertEqual(answer.error, harness.ERROR + 'LimitsExceeded')
            else:
                self.assertEqual(len(answer.value), 1)
        # That many calls of a user are in work at a time.
        self.assertGreaterEqual(sum(1 for answer in answers if not answer.error), 64)

    def test_end_of_the_daemon(self):
        """Everybody who waits is answered."""
        self.stall()
        calls = [self.client.begin(self.patch, harness.PATCH, 'ListBlockers') for _ in range(50)]
        self.stop_daemon()
        for call in calls:
            call.wait()

    def test_text(self):
        self.stall()
        lines = self.ctl('blockers', 'lp_one').splitlines()
        self.assertEqual(lines[0].split(), ['TID', 'USER', 'UNIT', 'FUNCTION', 'ADVICE', 'COMMAND'])
        self.assertEqual(lines[1].split(), ['980', 'www-data', 'web.service', '-', 'restart-unit', 'web', '--port', '80'])
        self.assertIn('980: Restart its service: systemctl restart web.service.', lines)
        self.assertIn('1 task has not switched yet.', lines)
        self.assertEqual(self.ctl('blockers'), self.ctl('blockers', 'lp-one'))
        full = self.ctl('blockers', '--full')
        self.assertIn('Thread: 980 (web)', full)
        self.assertIn('Kernel stack: unavailable', full)

    def test_idle_processors(self):
        self.stall()
        for path in ['proc/980', 'proc/417']:
            os.rename(self.path(path), self.path('ctl/') + path.replace('/', '-'))
        harness.wait_until(lambda: not self.list(self.patch), 'no task is left in /proc')
        self.assertIn('tasks have switched; what is left are idle processors', self.ctl('blockers'))

    def test_text_without_blockers(self):
        self.assertEqual(self.ctl('blockers'), 'No patch is being applied or reverted.\n')
        self.client.apply_and_wait(fixtures.module())
        self.assertEqual(self.ctl('blockers', 'lp_one'), "'lp_one' is applied: no task holds it up.\n")
        self.ctl('blockers', 'lp_two', code=4)
        self.ctl('blockers', 'lp_one', 'lp_two', code=2)

    def test_json(self):
        self.assertEqual(json.loads(self.ctl('blockers', '--json=short')), {
            'schema': 1, 'patch': None, 'state': None, 'tasks_total': None, 'total': 0, 'blockers': []})
        self.stall()
        document = json.loads(self.ctl('blockers', '--json=short'))
        self.assertEqual((document['schema'], document['patch'], document['state'], document['tasks_total'],
                          document['total']), (1, 'lp_one', 'applying', 8, 1))
        blocker, = document['blockers']
        self.assertEqual((blocker['tid'], blocker['command_line'], blocker['kernel_thread'], blocker['advice']),
                         (980, 'web --port 80', False, 'restart-unit'))
        self.assertNotIn('total', blocker)

    def test_unknown_user_is_null(self):
        self.write(f'{TASK}/status', 'Name:\tx\n')
        self.stall()
        self.assertEqual(self.list(self.patch)[0]['uid'], UNKNOWN_USER)
        self.assertIsNone(json.loads(self.ctl('blockers', '--json=short'))['blockers'][0]['uid'])


if __name__ == '__main__':
    harness.main()
