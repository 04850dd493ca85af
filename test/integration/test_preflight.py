#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running kernel would refuse is refused before it is asked, and plans say what would be done."""

from gi.repository import GLib

import fixtures
import harness

KALLSYMS = 'ffffffff8ae105a0 t cmdline_proc_show\nffffffff8ae11c80 t uptime_proc_show\n'
TRACEABLE = 'cmdline_proc_show\nuptime_proc_show\n'
DIVERTED = ('cmdline_proc_show (1) R I  \ttramp: 0xffffffffc046c000 (kprobe_ftrace_handler+0x0/0x1b0) '
            '->kprobe_ftrace_handler+0x0/0x1b0\n')


class PreflightTest(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.facts()

    def facts(self, kallsyms=KALLSYMS, traceable=TRACEABLE, enabled='', kprobes='', keys=''):
        self.write('proc/kallsyms', kallsyms)
        self.write('proc/keys', keys)
        self.write('sys/kernel/tracing/available_filter_functions', traceable)
        self.write('sys/kernel/tracing/enabled_functions', enabled)
        self.write('sys/kernel/debug/kprobes/list', kprobes)

    def plan(self, *names):
        return self.client.manager('Plan', '(asa{sv})', list(names), {})

    def steps(self, *names):
        return [(step['action'], step['patch']) for step in self.plan(*names)]

    def codes(self, findings):
        return [(f['severity'], f['code'], f['function']) for f in findings]


class Refused(PreflightTest):
    def refused(self, error, code):
        """Apply says no, and Inspect says so before; nothing is left, and the kernel was not asked."""
        module = fixtures.module()
        report = self.client.inspect(module)
        blockers = [f for f in report['findings'] if f['severity'] == 'blocker']
        self.assertEqual([f['code'] for f in blockers], [code])
        self.assertEqual((report['would-apply'], report['refusal']), (False, harness.ERROR + error))
        text = self.assert_error(error, self.client.apply, module)
        self.assertIn(blockers[0]['text'], text)
        self.assertNotIn('0xffff', text)
        self.assertEqual((self.inserted(), self.stored(), self.client.manager('ListPatches')), ([], [], []))
        self.assertEqual(self.client.signals_of('InterfacesAdded'), [])
        return text

    def test_function_is_missing(self):
        self.facts(kallsyms='ffffffff8ae105a0 t cmdline_proc_show\n')
        self.assertIn("'uptime_proc_show'", self.refused('KernelRefused', 'function-missing'))

    def test_function_is_ambiguous(self):
        self.facts(kallsyms=KALLSYMS + 'ffffffff8ae20000 t uptime_proc_show\n')
        self.assertIn('2 symbols', self.refused('KernelRefused', 'function-ambiguous'))

    def test_function_is_not_traceable(self):
        self.facts(traceable='cmdline_proc_show\n')
        self.refused('KernelRefused', 'function-not-traceable')

    def test_function_is_diverted(self):
        self.facts(enabled=DIVERTED, kprobes='ffffffff8ae105a0  k  cmdline_proc_show+0x0    [FTRACE]\n')
        self.assertIn('kprobe', self.refused('Conflict', 'function-diverted'))

    def test_ftrace_is_disabled(self):
        self.write('proc/sys/kernel/ftrace_enabled', '0\n')
        self.refused('Conflict', 'ftrace-disabled')

    def test_modules_are_disabled(self):
        self.write('proc/sys/kernel/modules_disabled', '1\n')
        self.refused('NotSupported', 'modules-disabled')

    def test_key_is_unknown_to_the_kernel(self):
        self.write('sys/module/module/parameters/sig_enforce', 'Y\n')
        self.facts(keys='398419a5 I------ 2 perm 1f0b0000 0 0 keyring   .builtin_trusted_keys: 1\n'
                        f'342493d5 I------ 1 perm 1f030000 0 0 asymmetri Some key: {"ab" * 20}: X509.rsa abababab []\n')
        text = self.refused('KernelRefused', 'key-unknown')
        self.assertIn('.builtin_trusted_keys', text)
        self.assertIn('CN=good', text)

    def test_locked_down(self):
        self.write('sys/kernel/security/lockdown', 'none [integrity] confidentiality\n')
        self.facts(keys='398419a5 I------ 2 perm 1f0b0000 0 0 keyring   .builtin_trusted_keys: empty\n')
        self.assertIn('is locked down (integrity)', self.refused('KernelRefused', 'key-unknown'))


class NotRefused(PreflightTest):
    def accepted(self, *codes):
        module = fixtures.module()
        report = self.client.inspect(module)
        self.assertEqual([f['code'] for f in report['findings'] if f['severity'] != 'blocker'], list(codes))
        self.assertIs(report['would-apply'], True)
        self.client.apply_and_wait(module)

    def test_nothing_is_wrong(self):
        self.accepted('object-not-loaded')

    def test_what_is_not_known(self):
        self.facts(kallsyms='', traceable='')
        self.accepted('object-not-loaded', 'not-checked')

    def test_list_that_cannot_be_understood(self):
        self.facts(kallsyms='cmdline_proc_show\n', enabled='what is this\n')
        self.accepted('object-not-loaded', 'not-checked')

    def test_plain_kprobe(self):
        self.facts(kprobes='ffffffff8ae105a0  k  cmdline_proc_show+0x0    [FTRACE]\n')
        self.accepted('function-probed', 'object-not-loaded')

    def test_key_cannot_be_known(self):
        self.write('sys/module/module/parameters/sig_enforce', 'Y\n')
        self.facts(keys='3fb91608 I--Q--- 6 perm 3f030000 0 0 keyring   _ses: 1\n')
        self.accepted('key-not-checked', 'object-not-loaded')

    def test_stage_does_not_ask(self):
        self.facts(kallsyms='ffffffff8ae105a0 t cmdline_proc_show\n')
        self.client.stage(fixtures.module())
        self.assertEqual(self.steps('lp_one'), [('skip', 'lp_one')])

    def test_reapplying_leaves_it_to_the_kernel(self):
        self.client.stage(fixtures.module(), reapply=True)
        self.facts(kallsyms='ffffffff8ae105a0 t cmdline_proc_show\n')
        self.assertEqual(self.client.wait_job(self.client.manager('Reapply'))['Result'], 'done')
        self.assertEqual(self.inserted(), ['lp_one'])


class Plan(PreflightTest):
    def test_nothing(self):
        self.assertEqual(self.plan(), [])

    def test_what_would_be_reapplied(self):
        self.client.stage(fixtures.module(name='lp_two'), reapply=True)
        self.client.stage(fixtures.module(name='lp_one'), reapply=True)
        self.client.stage(fixtures.module(name='lp_three'))
        self.assertEqual(self.steps(), [('apply', 'lp_two'), ('apply', 'lp_one')])
        self.assertEqual(self.steps('lp_three', 'lp_one'), [('apply', 'lp_three'), ('apply', 'lp_one')])
        step = self.plan('lp_three')[0]
        self.assertEqual(sorted(step), ['action', 'findings', 'patch', 'reason'])
        self.assertEqual(step['reason'], '')
        self.assertEqual(self.codes(step['findings']), [('info', 'object-not-loaded', '')])
        self.assertEqual((self.inserted(), self.client.manager('ListJobs')), ([], []))

    def test_what_is_applied_is_skipped(self):
        self.client.apply_and_wait(fixtures.module())
        steps = self.plan()
        self.assertEqual(self.steps(), [('skip', 'lp_one')])
        self.assertIn('applied already', steps[0]['reason'])

    def test_named_twice(self):
        self.client.stage(fixtures.module())
        self.assertEqual(self.steps('lp_one', 'lp_one'), [('apply', 'lp_one'), ('skip', 'lp_one')])

    def test_cumulative(self):
        self.client.apply_and_wait(fixtures.module(name='lp_two'))
        self.client.stage(fixtures.module(name='lp_one'))
        self.client.stage(fixtures.module(name='lp_all', replace=True))
        self.assertEqual(self.steps('lp_all'), [('replace', 'lp_all'), ('revert', 'lp_two')])
        self.assertEqual(self.steps('lp_one', 'lp_all', 'lp_one'),
                         [('apply', 'lp_one'), ('replace', 'lp_all'), ('revert', 'lp_two'), ('revert', 'lp_one'),
                          ('apply', 'lp_one')])
        revert = self.plan('lp_all')[1]
        self.assertIn("'lp_all'", revert['reason'])
        self.assertEqual(revert['findings'], [])
        self.assertIn(('info', 'replaces', ''), self.codes(self.plan('lp_all')[0]['findings']))

    def test_patches_of_the_same_function(self):
        self.client.apply_and_wait(fixtures.module(name='lp_two'))
        self.client.stage(fixtures.module())
        findings = self.plan('lp_one')[0]['findings']
        self.assertIn(('info', 'function-patched', 'cmdline_proc_show'), self.codes(findings))

    def test_patch_that_something_else_loaded(self):
        with open(self.path('external.ko'), 'wb') as f:
            f.write(fixtures.module(name='lp_two'))
        self.kernel_tool('load', self.root, self.path('external.ko'))
        self.client.stage(fixtures.module())
        findings = self.plan('lp_one')[0]['findings']
        self.assertIn(('warning', 'function-patched-by-other', 'cmdline_proc_show'), self.codes(findings))
        self.assertEqual(self.steps('lp_two'), [('skip', 'lp_two')])
        report = self.client.inspect(fixtures.module(name='lp_two'))
        self.assertIn(('info', 'applied-already', ''), self.codes(report['findings']))
        report = self.client.inspect(fixtures.module(name='lp_two', build=2))
        self.assertIn(('blocker', 'another-build-loaded', ''), self.codes(report['findings']))
        self.assertEqual(report['refusal'], 'org.livepatch.Error.Conflict')
        self.client.stage(fixtures.module(name='lp_all', replace=True))
        self.assertEqual(self.steps('lp_all'), [('replace', 'lp_all'), ('revert', 'lp_two')])
        findings = self.plan('lp_all')[0]['findings']
        self.assertIn(('warning', 'replaces-other', ''), self.codes(findings))
        self.assertNotIn(('info', 'replaces', ''), self.codes(findings))

    def test_what_would_be_refused_is_skipped(self):
        self.client.stage(fixtures.module())
        self.facts(enabled=DIVERTED)
        step = self.plan('lp_one')[0]
        self.assertEqual(step['action'], 'skip')
        self.assertIn('kprobe', step['reason'])
        self.assertEqual(step['findings'][0]['code'], 'function-diverted')

    def test_what_does_not_verify_is_skipped(self):
        self.client.stage(fixtures.module())
        self.client.manager('RemoveTrust', '(s)', fixtures.fingerprint('good'))
        step = self.plan('lp_one')[0]
        self.assertEqual((step['action'], step['findings']), ('skip', []))
        self.assertIn('trust', step['reason'])

    def test_file_that_was_changed_is_skipped(self):
        self.client.stage(fixtures.module())
        stored = [f for f in self.stored() if f.endswith('.ko')][0]
        self.write(f'var/lib/livepatch/{stored}', 'something else')
        self.assertEqual(self.steps('lp_one'), [('skip', 'lp_one')])

    def test_another_kernels_patch(self):
        release = '6.1.0-99-amd64'
        self.write(f'usr/lib/modules/{release}/modules.dep', '')
        self.client.stage(fixtures.module(release=release), reapply=True)
        self.assertEqual(self.plan(), [])
        self.assertEqual(self.steps(f'lp_one@{release}'), [('skip', f'lp_one@{release}')])

    def test_switched_off(self):
        self.client.stage(fixtures.module(), reapply=True)
        self.write('etc/livepatch/disabled', '')
        step = self.plan()[0]
        self.assertEqual(step['action'], 'skip')
        self.assertIn('switched off', step['reason'])

    def test_names_that_do_not_exist(self):
        self.assert_error('NoSuchPatch', self.plan, 'lp_none')
        self.client.stage(fixtures.module())
        self.assert_error('NoSuchPatch', self.plan, 'lp_one', 'lp_none')
        self.assert_error('NoSuchPatch', self.plan, '../../etc/passwd')
        self.assert_error(harness.FREEDESKTOP_ERROR + 'InvalidArgs', self.plan, *['lp_one'] * 257)

    def test_unknown_option(self):
        self.assert_error(harness.FREEDESKTOP_ERROR + 'InvalidArgs', self.client.manager, 'Plan', '(asa{sv})', [],
                          {'force': GLib.Variant('b', True)})

    def test_others_are_asked(self):
        self.client.stage(fixtures.module())
        answer = self.run_as(65534, 'Plan', '(asa{sv})', [], {})
        self.assertIn('AccessDenied', answer['error'])


if __name__ == '__main__':
    harness.main()
