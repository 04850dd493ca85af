#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 at any moment, then a new call: same answers."""

import signal
import time

import fixtures
import harness

PATCH_PATH = harness.ROOT_PATH + '/patch/lp_5fone'


class Crash(harness.IntegrationTest):
    def crash(self):
        self.stop_daemon(signal.SIGKILL)

    def restart(self):
        self.start()

    def settle(self):
        """What the new process has to finish is finished."""
        def over():
            jobs = self.client.manager('ListJobs')
            return all(self.client.get(j, harness.JOB, 'State') == 'finished' for j in jobs)
        harness.wait_until(over, 'the jobs are over')

    def states(self):
        return {p['Name']: (p['State'], p['Reapply']) for p in self.client.manager('ListPatches')}

    def wait_unpatching(self):
        directory = 'sys/kernel/livepatch/lp_one/'
        harness.wait_until(lambda: self.read(directory + 'enabled').strip() == '0' and
                           self.read(directory + 'transition').strip() == '1', 'the kernel unpatches')

    def test_while_staged(self):
        self.client.stage(fixtures.module(), reapply=True)
        before = self.client.manager('ListPatches')
        self.crash()
        self.restart()
        self.assertEqual(self.client.manager('ListPatches'), before)

    def test_while_applied(self):
        self.client.apply_and_wait(fixtures.module())
        before = self.client.manager('ListPatches')
        self.crash()
        self.restart()
        self.assertEqual(self.client.manager('ListPatches'), before)

    def test_while_applied_for_this_boot(self):
        self.client.apply_and_wait(fixtures.module(), runtime=True)
        before = self.client.manager('ListPatches')
        self.crash()
        self.restart()
        self.assertEqual(self.client.manager('ListPatches'), before)

    def test_in_transition(self):
        """The kernel goes on, and the next process finishes what was asked: applied for good."""
        self.control('transition-ms', 'stall')
        self.client.apply(fixtures.module())
        self.client.wait_state(PATCH_PATH, 'applying')
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the module is loaded')
        self.crash()
        self.restart()
        self.assertEqual(self.client.state(PATCH_PATH), 'applying')
        self.control('transition-ms', 0)
        self.settle()
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})
        self.assertEqual(self.inserted(), ['lp_one'])

    def test_in_transition_for_this_boot(self):
        self.control('transition-ms', 'stall')
        self.client.apply(fixtures.module(), runtime=True)
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the module is loaded')
        self.crash()
        self.control('transition-ms', 0)
        self.restart()
        self.settle()
        self.assertEqual(self.states(), {'lp_one': ('applied', False)})

    def test_transition_ends_while_nobody_looks(self):
        self.control('transition-ms', 'stall')
        self.client.apply(fixtures.module())
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the module is loaded')
        self.crash()
        self.control('transition-ms', 0)
        harness.wait_until(lambda: self.read('sys/kernel/livepatch/lp_one/transition').strip() == '0', 'it is complete')
        self.restart()
        self.settle()
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})

    def test_before_the_load(self):
        self.control('insert-hold', '')
        self.client.apply(fixtures.module())
        harness.wait_until(self.inserted, 'the load has begun')
        self.crash()
        self.control('insert-hold', None)
        self.restart()
        self.settle()
        # Not loaded: then it is not applied, and says why.
        self.assertFalse(self.exists('sys/module/lp_one'))
        for patch in self.client.manager('ListPatches'):
            self.assertIn(patch['State'], ('failed', 'staged'))
            self.assertIs(patch['Reapply'], False)
        self.client.apply_and_wait(fixtures.module())
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})

    def test_while_reverting(self):
        self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        self.client.patch(PATCH_PATH, 'Revert')
        self.wait_unpatching()
        self.crash()
        self.restart()
        self.assertEqual(self.client.state(PATCH_PATH), 'reverting')
        self.control('unpatch-ms', 0)
        self.settle()
        self.client.wait_state(PATCH_PATH, 'staged')
        self.assertEqual(self.states(), {'lp_one': ('staged', False)})
        self.assertFalse(self.exists('sys/module/lp_one'))

    def test_while_removing(self):
        self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        self.client.begin(PATCH_PATH, harness.PATCH, 'Remove', '(a{sv})', {})
        self.wait_unpatching()
        self.crash()
        self.control('unpatch-ms', 0)
        self.restart()
        self.settle()
        harness.wait_until(lambda: self.states() == {}, 'the patch is forgotten')
        self.assertEqual(self.stored(), [])
        self.assertFalse(self.exists('sys/module/lp_one'))

    def test_with_jobs_queued(self):
        self.control('transition-ms.lp_one', 'stall')
        self.client.apply(fixtures.module())
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the module is loaded')
        self.client.apply(fixtures.module(name='lp_two', build=2))
        self.crash()
        self.control('transition-ms.lp_one', 0)
        self.restart()
        self.settle()
        # Nobody was told that the queued one is done.
        states = self.states()
        self.assertEqual(states.pop('lp_one'), ('applied', True))
        for state in states.values():
            self.assertEqual(state, ('staged', False))
        self.assertEqual(self.inserted(), ['lp_one'])

    def half_loaded(self):
        """The fake kernel loads on the daemon's thread, and can be killed in the middle of it; a real one cannot."""
        return self.exists('sys/module/lp_one') and not self.exists('sys/kernel/livepatch/lp_one')

    def test_at_many_moments(self):
        """Whenever it dies during an apply, afterwards the patch is there for good or not at all."""
        self.control('transition-ms', 30)
        module = fixtures.module()
        for i in range(25):
            with harness.memory_file(module) as f:
                self.client.begin(harness.ROOT_PATH, harness.MANAGER, 'Apply', '(ha{sv})', 0, {}, fds=[f.fileno()])
                self.client.connection.flush_sync(None)
                time.sleep(i * 0.006)
                self.crash()
            if self.half_loaded():
                harness.shutil.rmtree(self.path('sys/module/lp_one'))
            self.restart()
            self.settle()
            states = self.states()
            if self.exists('sys/module/lp_one'):
                self.assertEqual(states, {'lp_one': ('applied', True)}, f'after {i * 6} ms')
            else:
                self.assertIn(states, ({}, {'lp_one': ('failed', False)}, {'lp_one': ('staged', False)}))
            self.assertEqual(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'Problems'), [])
            if states:
                self.client.patch(PATCH_PATH, 'Remove')
            self.assertEqual((self.states(), self.stored()), ({}, []))

    def test_client_is_told_that_its_call_is_lost(self):
        self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        call = self.client.begin(PATCH_PATH, harness.PATCH, 'Remove', '(a{sv})', {})
        self.wait_unpatching()
        self.crash()
        call.wait()
        self.assertEqual(call.error, harness.FREEDESKTOP_ERROR + 'NoReply')


if __name__ == '__main__':
    harness.main()
