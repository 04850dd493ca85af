#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs: order, progress, cancelling, stalls, and the signals that tell of them."""

import fixtures
import harness


class Jobs(harness.IntegrationTest):
    def job(self, path):
        return self.client.get_all(path, harness.JOB)

    def wait_job_state(self, path, state):
        harness.wait_until(lambda: self.client.get(path, harness.JOB, 'State') == state, f'{path} is {state}')

    def wait_sysfs(self, name):
        harness.wait_until(lambda: self.exists(f'sys/kernel/livepatch/{name}/transition'), f'{name} is loaded')

    def test_signals_of_a_job(self):
        path = self.client.apply(fixtures.module())
        self.wait_signal('JobRemoved')
        new, = self.client.signals_of('JobNew')
        removed, = self.client.signals_of('JobRemoved')
        self.assertEqual(new[3], (1, path))
        self.assertEqual(removed[3], (1, path, 'done'))
        kinds = [s[2] for s in self.client.signals]
        self.assertLess(kinds.index('InterfacesAdded'), kinds.index('JobNew'))
        # Whoever waits for JobRemoved has been told of everything before.
        told = {}
        for signal_path, _, member, arguments in self.client.signals[:self.client.signals.index(removed)]:
            if member == 'PropertiesChanged':
                told.setdefault(signal_path, {}).update(arguments[1])
        self.assertEqual(told[path]['State'], 'finished')
        self.assertEqual(told[harness.ROOT_PATH + '/patch/lp_5fone']['State'], 'applied')
        self.assertIs(told[harness.ROOT_PATH + '/patch/lp_5fone']['Reapply'], True)
        self.assertEqual(told[harness.ROOT_PATH]['Summary'], {'applied': 1})

    def test_object_stays_readable(self):
        path = self.client.apply(fixtures.module())
        self.client.wait_job(path)
        self.assertEqual(self.client.manager('ListJobs'), [path])
        self.assertEqual(self.job(path), {
            'Id': 1, 'Type': 'apply', 'Patch': 'lp_one', 'State': 'finished', 'Progress': 1.0,
            'TasksTotal': self.job(path)['TasksTotal'], 'TasksPending': 0, 'Stalled': False,
            'Result': 'done', 'Error': ('', '')})

    def test_progress(self):
        self.control('transition-ms', 1500)
        path = self.client.apply(fixtures.module())
        self.wait_signal('JobRemoved')
        changes = [s[3][1] for s in self.client.signals_of('PropertiesChanged') if s[0] == path]
        progress = [c['Progress'] for c in changes if 'Progress' in c]
        self.assertEqual(progress, sorted(progress))
        self.assertEqual(progress[-1], 1.0)
        self.assertTrue(any(0 < p < 1 for p in progress), progress)
        self.assertTrue(any(c.get('TasksTotal', 0) > 0 for c in changes))

    def test_queued_in_order(self):
        self.control('transition-ms.lp_one', 'stall')
        first = self.client.apply(fixtures.module())
        self.wait_sysfs('lp_one')
        second = self.client.apply(fixtures.module(name='lp_two', build=2))
        third = self.client.apply(fixtures.module(name='lp_three', build=3))
        self.assertEqual([self.job(j)['State'] for j in (first, second, third)], ['running', 'queued', 'queued'])
        self.assertEqual(self.client.manager('ListJobs'), [first, second, third])
        self.assertEqual(self.inserted(), ['lp_one'])
        self.control('transition-ms.lp_one', 0)
        for job in (first, second, third):
            self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        self.assertEqual(self.inserted(), ['lp_one', 'lp_two', 'lp_three'])

    def test_cancel_queued(self):
        self.control('transition-ms.lp_one', 'stall')
        first = self.client.apply(fixtures.module())
        self.wait_sysfs('lp_one')
        second = self.client.apply(fixtures.module(name='lp_two', build=2))
        self.client.call(second, harness.JOB, 'Cancel')
        self.assertEqual(self.client.wait_job(second)['Result'], 'canceled')
        self.control('transition-ms.lp_one', 0)
        self.assertEqual(self.client.wait_job(first)['Result'], 'done')
        self.assertEqual(self.inserted(), ['lp_one'])
        self.assertEqual([p['Name'] for p in self.client.manager('ListPatches')], ['lp_one'])

    def test_cancel_running(self):
        self.control('transition-ms', 'stall')
        path = self.client.apply(fixtures.module())
        self.wait_sysfs('lp_one')
        self.client.call(path, harness.JOB, 'Cancel')
        job = self.client.wait_job(path)
        self.assertEqual((job['Result'], job['Error'][0]), ('canceled', harness.ERROR + 'Canceled'))
        self.assertFalse(self.exists('sys/module/lp_one'))
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.assertEqual(self.stored(), [])

    def test_cancel_a_revert(self):
        patch = self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        path = self.client.patch(patch, 'Revert')
        self.wait_job_state(path, 'running')
        self.client.wait_state(patch, 'reverting')
        # Unlike the kernel's, the write to 'enabled' returns before the fake kernel has begun the transition.
        harness.wait_until(
            lambda: self.read('sys/kernel/livepatch/lp_one/transition').strip() == '1', 'the transition has begun'
        )
        self.client.call(path, harness.JOB, 'Cancel')
        self.assertEqual(self.client.wait_job(path)['Result'], 'canceled')
        self.client.wait_state(patch, 'applied')
        self.assertIs(self.client.get(patch, harness.PATCH, 'Reapply'), True)

    def test_cancel_of_a_finished_job(self):
        path = self.client.apply(fixtures.module())
        self.client.wait_job(path)
        self.assert_error('NoSuchJob', self.client.call, path, harness.JOB, 'Cancel')
        self.assertEqual(self.client.state('/org/livepatch/patch/lp_5fone'), 'applied')

    def test_cancel_twice(self):
        self.control('transition-ms', 'stall')
        self.control('unpatch-ms', 300)
        path = self.client.apply(fixtures.module())
        self.wait_sysfs('lp_one')
        self.client.call(path, harness.JOB, 'Cancel')
        try:
            self.client.call(path, harness.JOB, 'Cancel')
        except harness.CallError as e:
            self.assertIn(e.name, (harness.ERROR + 'Busy', harness.ERROR + 'NoSuchJob'))
        self.assertEqual(self.client.wait_job(path)['Result'], 'canceled')

    def test_remove_answers_when_it_is_done(self):
        patch = self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        call = self.client.begin(patch, harness.PATCH, 'Remove', '(a{sv})', {})
        self.client.wait_state(patch, 'reverting')
        self.assertFalse(call.done)
        self.control('unpatch-ms', 0)
        call.wait()
        self.assertIsNone(call.error)
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.wait_signal('InterfacesRemoved')

    def test_the_daemon_answers_while_the_kernel_blocks(self):
        self.control('insert-hold', '')
        path = self.client.apply(fixtures.module())
        harness.wait_until(lambda: self.inserted(), 'the load has begun')
        for _ in range(20):
            self.assertEqual(self.client.call(harness.ROOT_PATH, harness.PROPERTIES, 'Get', '(ss)', harness.MANAGER,
                                              'Version', timeout=5), '0.1.0')
            self.assertEqual(self.job(path)['State'], 'running')
        self.control('insert-hold', None)
        self.assertEqual(self.client.wait_job(path)['Result'], 'done')

    def test_caller_leaves(self):
        self.control('transition-ms', 300)
        leaving = self.new_client()
        job = leaving.apply(fixtures.module())
        leaving.close()
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')

    def test_caller_leaves_before_the_answer(self):
        patch = self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        leaving = self.new_client()
        leaving.begin(patch, harness.PATCH, 'Remove', '(a{sv})', {})
        self.client.wait_state(patch, 'reverting')
        leaving.close()
        self.control('unpatch-ms', 0)
        harness.wait_until(lambda: self.client.manager('ListPatches') == [], 'the patch is removed')


class Stalls(harness.IntegrationTest):
    config = 'StallTimeoutSec=1s\nOnStall=revert\n'

    def test_reverted(self):
        self.control('transition-ms', 'stall')
        self.control('unpatch-ms', 50)
        job = self.client.wait_job(self.client.apply(fixtures.module()))
        self.assertEqual((job['Result'], job['Error'][0]), ('stalled', harness.ERROR + 'Stalled'))
        self.assertFalse(self.exists('sys/module/lp_one'))
        self.assertEqual(self.stored(), [])


class StallsAndWaits(harness.IntegrationTest):
    config = 'StallTimeoutSec=1s\nOnStall=wait\n'

    def test_waits(self):
        self.control('transition-ms', 'stall')
        path = self.client.apply(fixtures.module())
        harness.wait_until(lambda: 'stall' in self.daemon.text().lower(), 'the stall is logged')
        self.assertIn(self.client.get(path, harness.JOB, 'State'), ('running', 'finished'))
        self.control('transition-ms', 0)
        self.client.wait_job(path)
        self.client.wait_state('/org/livepatch/patch/lp_5fone', 'applied')


class Limits(harness.IntegrationTest):
    config = 'JobsPerUserMax=2\n'

    def test_jobs(self):
        self.control('transition-ms', 'stall')
        jobs = [self.client.apply(fixtures.module(name=f'lp_{i}', build=i)) for i in range(2)]
        self.assert_error('LimitsExceeded', self.client.apply, fixtures.module(name='lp_9', build=9))
        self.control('transition-ms', 0)
        for job in jobs:
            self.client.wait_job(job)
        self.client.apply_and_wait(fixtures.module(name='lp_9', build=9))


class Bytes(harness.IntegrationTest):
    config = 'BytesPerUserMax=4K\n'

    def test_bytes_in_flight(self):
        self.assert_error('LimitsExceeded', self.client.apply, fixtures.module())
        self.assertEqual((self.stored(), self.inserted()), ([], []))


if __name__ == '__main__':
    harness.main()
