#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: every method that changes or discloses anything, as an ordinary user, with polkit's answers."""

import os
import pwd
import time

import fixtures
import harness

USER = pwd.getpwnam('nobody').pw_uid
OTHER_USER = pwd.getpwnam('daemon').pw_uid
DENIED = harness.FREEDESKTOP_ERROR + 'AccessDenied'
INTERACTIVE = harness.FREEDESKTOP_ERROR + 'InteractiveAuthorizationRequired'


class Polkit(harness.IntegrationTest):
    config = 'PendingAuthorizationsPerUserMax=2\n'

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest('only root can try what another user may do')
        super().setUp()
        self.patch = self.client.stage(fixtures.module())

    def everything(self):
        """(arguments of run_as, action, details) of each method that needs authorization."""
        patch = {'path': self.patch, 'interface': harness.PATCH}
        about = {'patch': 'lp_one'}
        other = [fixtures.module(name='lp_two', build=2)]
        with open(fixtures.certificate('stranger'), 'rb') as f:
            certificate = [f.read()]
        return [
            (('Inspect', '(ha{sv})', 0, {}), {'files': other}, 'inspect', {}),
            (('Stage', '(ha{sv})', 0, {}), {'files': other}, 'stage', {}),
            (('Apply', '(ha{sv})', 0, {}), {'files': other}, 'apply', {}),
            (('Reapply',), {}, 'manage-boot', {}),
            (('AddTrust', '(h)', 0), {'files': certificate}, 'manage-trust', {}),
            (('RemoveTrust', '(s)', fixtures.fingerprint('stranger')), {}, 'manage-trust',
             {'fingerprint': fixtures.fingerprint('stranger')}),
            (('SetReapply', '(b)', True), patch, 'manage-boot', about),
            (('ListBlockers',), patch, 'inspect', about),
            (('ClearQuarantine',), patch, 'manage-boot', about),
            (('Apply', '(a{sv})', {}), patch, 'apply', about),
            (('Revert', '(a{sv})', {}), patch, 'revert', about),
            (('Remove', '(a{sv})', {}), patch, 'manage-boot', about),
        ]

    def nothing_happened(self, before):
        self.assertEqual(self.client.manager('ListPatches'), before)
        self.assertEqual(self.inserted(), [])
        self.assertEqual(sorted(os.listdir(self.path('etc/livepatch/trusted.d'))), ['good.pem'])

    def refuse_everything(self, error):
        before = self.client.manager('ListPatches')
        for arguments, keywords, action, _ in self.everything():
            answer = self.run_as(USER, *arguments, **keywords)
            self.assertEqual(answer.get('error'), error, (arguments[0], answer))
            self.assertIn(action, answer['text'])
            self.nothing_happened(before)

    def test_absent(self):
        self.refuse_everything(DENIED)

    def test_no(self):
        self.start_polkit('no')
        self.refuse_everything(DENIED)

    def test_challenge(self):
        self.start_polkit('challenge')
        self.refuse_everything(INTERACTIVE)

    def test_polkit_fails(self):
        self.start_polkit('fail')
        self.refuse_everything(DENIED)

    def test_yes(self):
        self.start_polkit('yes')
        for arguments, keywords, action, details in self.everything():
            answer = self.run_as(USER, *arguments, **keywords)
            if arguments[0] == 'ClearQuarantine':  # allowed, but there is nothing to lift
                self.assertEqual(answer.get('error'), harness.ERROR + 'Conflict', answer)
            else:
                self.assertNotIn('error', answer, arguments[0])
            call = self.polkit_calls()[-1]
            self.assertEqual((call['action'], call['details']), ('org.livepatch.' + action, details))
            self.assertEqual((call['subject'], call['name'][0], call['flags']), ('system-bus-name', ':', 0))
            for job in self.client.manager('ListJobs'):
                self.client.wait_job(job)
        self.assertEqual(len(self.polkit_calls()), len(self.everything()))

    def test_caller_is_recorded(self):
        self.start_polkit('yes')
        self.run_as(USER, 'Apply', '(a{sv})', {}, path=self.patch, interface=harness.PATCH)
        self.client.wait_state(self.patch, 'applied')
        self.assertEqual(self.client.get(self.patch, harness.PATCH, 'AppliedBy'), USER)

    def test_interaction_only_where_the_caller_allows_it(self):
        self.start_polkit('challenge')
        self.run_as(USER, 'Reapply', interactive=True)
        self.run_as(USER, 'Reapply')
        self.assertEqual([c['flags'] for c in self.polkit_calls()], [1, 0])

    def test_root_is_not_asked(self):
        self.start_polkit('no')
        self.client.apply_and_wait(fixtures.module())
        self.assertEqual(self.polkit_calls(), [])

    def test_reading_needs_nothing(self):
        self.start_polkit('no')
        answers = [self.run_as(USER, 'ListPatches'), self.run_as(USER, 'ListJobs'), self.run_as(USER, 'ListTrust'),
                   self.run_as(USER, 'Subscribe'), self.run_as(USER, 'Unsubscribe'),
                   self.run_as(USER, 'GetPatch', '(s)', 'lp_one'),
                   self.run_as(USER, 'GetAll', '(s)', harness.MANAGER, interface=harness.PROPERTIES),
                   self.run_as(USER, 'GetAll', '(s)', harness.PATCH, interface=harness.PROPERTIES, path=self.patch),
                   self.run_as(USER, 'GetManagedObjects', interface=harness.OBJECT_MANAGER),
                   self.run_as(USER, 'Introspect', interface='org.freedesktop.DBus.Introspectable'),
                   self.run_as(USER, 'Ping', interface='org.freedesktop.DBus.Peer')]
        for answer in answers:
            self.assertNotIn('error', answer)
        self.assertEqual(self.polkit_calls(), [])

    def test_cancel_needs_the_action_of_the_job(self):
        self.control('transition-ms', 'stall')
        self.control('unpatch-ms', 0)
        self.start_polkit('no')
        job = self.client.patch(self.patch, 'Apply')
        harness.wait_until(lambda: self.client.get(job, harness.JOB, 'State') == 'running', 'the job runs')
        answer = self.run_as(USER, 'Cancel', path=job, interface=harness.JOB)
        self.assertEqual(answer.get('error'), DENIED)
        self.assertEqual(self.client.get(job, harness.JOB, 'State'), 'running')
        self.polkit_script('yes')
        answer = self.run_as(USER, 'Cancel', path=job, interface=harness.JOB)
        self.assertNotIn('error', answer)
        self.assertEqual({c['action'] for c in self.polkit_calls()}, {'org.livepatch.apply'})
        self.assertEqual(self.client.wait_job(job)['Result'], 'canceled')

    def test_arguments_are_checked_before_anybody_is_asked(self):
        self.start_polkit('yes')
        answer = self.run_as(USER, 'RemoveTrust', '(s)', 'not a fingerprint')
        self.assertEqual(answer.get('error'), harness.FREEDESKTOP_ERROR + 'InvalidArgs')
        self.assertEqual(self.polkit_calls(), [])

    def test_polkit_vanishes(self):
        self.start_polkit('vanish')
        answer = self.run_as(USER, 'Reapply')
        self.assertEqual(answer.get('error'), DENIED)

    def wait_asked(self, n):
        harness.wait_until(lambda: len(self.polkit_calls()) == n, f'polkit is asked {n} times')

    def test_the_daemon_answers_while_polkit_thinks(self):
        self.start_polkit('never')
        waiting = self.begin_as(USER, 'Reapply')
        self.wait_asked(1)
        self.client.apply_and_wait(fixtures.module())
        self.assertIsNone(waiting.poll())
        self.polkit_script('release')
        output, errors = waiting.communicate(timeout=harness.TIMEOUT)
        self.assertIn('/org/livepatch/job/', output, errors)

    def test_caller_vanishes(self):
        before = self.client.manager('ListPatches')
        self.start_polkit('never')
        for i in range(4):
            caller = self.begin_as(USER, 'Apply', '(ha{sv})', 0, {}, files=[fixtures.module(name='lp_two', build=2)])
            self.wait_asked(i + 1)
            caller.kill()
            caller.communicate()
            time.sleep(0.3)
        # More than PendingAuthorizationsPerUserMax: the dropped ones do not count any more.
        self.polkit_script('release')
        time.sleep(0.5)
        self.nothing_happened(before)
        self.assertEqual(self.client.manager('ListJobs'), [])
        descriptors = os.listdir(f'/proc/{self.daemon.process.pid}/fd')
        self.assertFalse([d for d in descriptors if os.path.basename(os.path.realpath(
            f'/proc/{self.daemon.process.pid}/fd/{d}')).startswith('tmp')])

    def test_limit_of_pending_authorizations(self):
        self.start_polkit('never')
        waiting = []
        for i in range(2):
            waiting.append(self.begin_as(USER, 'Reapply'))
            self.wait_asked(i + 1)
        answer = self.run_as(USER, 'Reapply')
        self.assertEqual(answer.get('error'), harness.ERROR + 'LimitsExceeded')
        self.assertEqual(len(self.polkit_calls()), 2)
        # Another user's are counted apart.
        other = self.begin_as(OTHER_USER, 'Reapply')
        self.wait_asked(3)
        self.polkit_script('release')
        for process in waiting + [other]:
            output, errors = process.communicate(timeout=harness.TIMEOUT)
            self.assertIn('/org/livepatch/job/', output, errors)
        self.assertNotIn('error', self.run_as(USER, 'Reapply'))

    def test_patch_vanishes_while_polkit_thinks(self):
        self.start_polkit('never')
        waiting = self.begin_as(USER, 'Apply', '(a{sv})', {}, path=self.patch, interface=harness.PATCH)
        self.wait_asked(1)
        self.client.patch(self.patch, 'Remove')
        self.polkit_script('release')
        output, _ = waiting.communicate(timeout=harness.TIMEOUT)
        self.assertIn(harness.FREEDESKTOP_ERROR + 'UnknownObject', output)
        self.assertEqual(self.inserted(), [])

    def test_an_answer_is_good_for_one_call(self):
        self.start_polkit('yes')
        self.assertNotIn('error', self.run_as(USER, 'Reapply'))
        self.polkit_script('no')
        self.assertEqual(self.run_as(USER, 'Reapply').get('error'), DENIED)

    def test_other_members_are_for_root(self):
        """The bus policy lets nobody else through to them."""
        self.assertEqual(self.run_as(USER, 'Nonsense').get('error'), DENIED)
        self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownMethod', self.client.manager, 'Nonsense')


if __name__ == '__main__':
    harness.main()
