#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a patch goes through: stage, apply, disable, enable, revert, remove, and what the facts say meanwhile."""

import hashlib
import os
import time

import dbus

import fixtures
import harness


class Lifecycle(harness.IntegrationTest):
    def patches(self):
        return {p['Name']: p for p in self.client.manager('ListPatches')}

    def sysfs(self, name):
        return self.exists(f'sys/kernel/livepatch/{name}')

    def test_facts(self):
        facts = self.client.get_all(harness.ROOT_PATH, harness.MANAGER)
        self.assertEqual(facts['KernelRelease'], fixtures.RELEASE)
        self.assertEqual(facts['Architecture'], 'x86_64')
        self.assertEqual(facts['BootId'], self.read('proc/sys/kernel/random/boot_id').strip().replace('-', ''))
        self.assertIs(facts['LivepatchSupported'], True)
        self.assertEqual((facts['Mode'], facts['SignaturePolicy'], facts['Lockdown']), ('enabled', 'require', 'none'))
        self.assertEqual((facts['FtraceEnabled'], facts['ModuleSignatureEnforced']), ('yes', 'no'))
        self.assertEqual(facts['Summary'], {})
        self.assertEqual(facts['Problems'], [])

    def test_facts_are_fresh(self):
        self.write('proc/sys/kernel/ftrace_enabled', '0\n')
        self.write('proc/sys/kernel/tainted', '4096\n')
        self.write('sys/kernel/security/lockdown', 'none [integrity] confidentiality\n')
        self.write('etc/livepatch/disabled', '')
        facts = self.client.get_all(harness.ROOT_PATH, harness.MANAGER)
        self.assertEqual((facts['FtraceEnabled'], facts['Taint'], facts['Lockdown'], facts['Mode']),
                         ('no', 4096, 'integrity', 'off'))

    def test_apply_lasts(self):
        before = time.time() * 1e6
        module = fixtures.module()
        path = self.client.apply_and_wait(module)
        self.assertEqual(path, harness.ROOT_PATH + '/patch/lp_5fone')
        patch = self.client.get_all(path, harness.PATCH)
        self.assertEqual(patch['State'], 'applied')
        self.assertIs(patch['Reapply'], True)
        self.assertEqual(patch['Sha256'], hashlib.sha256(module).hexdigest())
        self.assertEqual(patch['BuildId'], '000102030405060708090a0b0c0d0e0f10111213')
        self.assertEqual((patch['SignatureStatus'], patch['Signer']), ('trusted', 'CN=good,O=Integration'))
        self.assertEqual((patch['Kind'], patch['Replace'], patch['Origin']), ('hand-written', 'no', 'local'))
        self.assertEqual((patch['ModuleVersion'], patch['Description']), ('1', 'two functions'))
        self.assertEqual(sorted(patch['Objects']), [
            ('absent', False, [('absent_show', 2, False)]),
            ('vmlinux', True, [('cmdline_proc_show', 1, True), ('uptime_proc_show', 1, True)])])
        self.assertGreaterEqual(patch['AppliedAt'], int(before))
        self.assertEqual(patch['AppliedBy'], os.geteuid())
        self.assertEqual((patch['Drift'], patch['FailureReason'], patch['QuarantineReason']), ('', '', ''))
        self.assertEqual(self.inserted(), ['lp_one'])
        self.assertEqual(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'Summary'), {'applied': 1})

    def test_round_trip(self):
        path = self.client.stage(fixtures.module())
        self.assertEqual(self.client.state(path), 'staged')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), False)
        self.assertEqual(self.inserted(), [])

        self.assertEqual(self.client.wait_job(self.client.patch(path, 'Apply'))['Result'], 'done')
        self.assertEqual(self.client.state(path), 'applied')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)

        self.client.patch(path, 'SetReapply', '(b)', False)
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), False)
        self.assertEqual(self.client.state(path), 'applied')
        self.client.patch(path, 'SetReapply', '(b)', True)
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)

        self.assertEqual(self.client.wait_job(self.client.patch(path, 'Revert'))['Result'], 'done')
        self.assertEqual(self.client.state(path), 'staged')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), False)
        self.assertFalse(self.sysfs('lp_one'))
        self.assertFalse(self.exists('sys/module/lp_one'))

        self.client.patch(path, 'Remove')
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.assertEqual(self.stored(), [])

    def test_revert_for_this_boot_only(self):
        path = self.client.apply_and_wait(fixtures.module())
        values = {'runtime': harness.GLib.Variant('b', True)}
        self.client.wait_job(self.client.patch(path, 'Revert', '(a{sv})', values))
        self.assertEqual(self.client.state(path), 'staged')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)

    def test_apply_for_this_boot_only(self):
        path = self.client.apply_and_wait(fixtures.module(), runtime=True)
        self.assertEqual(self.client.state(path), 'applied')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), False)

    def test_applied_for_this_boot_then_for_good(self):
        module = fixtures.module()
        path = self.client.apply_and_wait(module, runtime=True)
        text = self.assert_error('AlreadyApplied', self.client.apply, module)
        self.assertIn('boot', text)
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)
        self.assertEqual(self.inserted(), ['lp_one'])

    def test_remove_of_an_applied_patch(self):
        path = self.client.apply_and_wait(fixtures.module())
        self.client.patch(path, 'Remove')
        self.assertFalse(self.exists('sys/module/lp_one'))
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.assertEqual(self.stored(), [])
        self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownObject',
                          self.client.state, path)

    def test_stage_for_reapply(self):
        path = self.client.stage(fixtures.module(), reapply=True)
        self.assertEqual(self.client.state(path), 'staged')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)
        job = self.client.manager('Reapply')
        properties = self.client.wait_job(job)
        self.assertEqual((properties['Type'], properties['Patch'], properties['Result']), ('reapply', '', 'done'))
        self.assertEqual(self.client.state(path), 'applied')

    def test_stage_for_another_kernel(self):
        other = '6.1.0-57-amd64'
        os.makedirs(self.path(f'usr/lib/modules/{other}'))
        path = self.client.stage(fixtures.module(release=other))
        patch = self.client.get_all(path, harness.PATCH)
        self.assertEqual((patch['Name'], patch['KernelRelease'], patch['State']), ('lp_one', other, 'staged'))
        self.assertEqual(self.client.manager('GetPatch', '(s)', 'lp_one'), path)
        self.assertEqual(self.client.manager('GetPatch', '(s)', f'lp_one@{other}'), path)
        mine = self.client.stage(fixtures.module())
        self.assertNotEqual(mine, path)
        self.assertEqual(self.client.manager('GetPatch', '(s)', 'lp_one'), mine)
        self.assertEqual([p['Path'] for p in self.client.manager('ListPatches')], [mine, path])
        self.assert_error('WrongKernel', self.client.patch, path, 'Apply')

    def test_stacked_patches(self):
        first = self.client.apply_and_wait(fixtures.module(name='lp_one'))
        second = self.client.apply_and_wait(fixtures.module(name='lp_two', build=2))
        self.assertEqual([self.client.state(p) for p in (first, second)], ['applied', 'applied'])
        self.client.wait_job(self.client.patch(first, 'Revert'))
        self.assertEqual([self.client.state(p) for p in (first, second)], ['staged', 'applied'])
        self.assertEqual(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'Summary'), {'staged': 1, 'applied': 1})

    def test_external_patch(self):
        with open(self.path('outside.ko'), 'wb') as f:
            f.write(fixtures.build(name='lp_outside', build=7))
        self.kernel_tool('load', self.root, self.path('outside.ko'))
        self.assertEqual(self.patches()['lp_outside']['Origin'], 'external')
        harness.wait_until(lambda: self.patches()['lp_outside']['State'] == 'external', 'its transition is complete')
        patch = self.patches()['lp_outside']
        self.assertEqual((patch['State'], patch['Origin'], patch['SignatureStatus']),
                         ('external', 'external', 'unchecked'))
        self.assertIs(patch['Reapply'], False)
        self.assertIn(patch['Path'], self.managed_objects())

    def managed_objects(self):
        return self.client.call(harness.ROOT_PATH, harness.OBJECT_MANAGER, 'GetManagedObjects')

    def test_survives_a_restart(self):
        self.client.apply_and_wait(fixtures.module())
        self.client.stage(fixtures.module(name='lp_two', build=2), reapply=True)
        before = self.client.manager('ListPatches')
        self.stop_daemon()
        self.start()
        self.assertEqual(self.client.manager('ListPatches'), before)

    def test_inspect(self):
        module = fixtures.module(version='2.1', description='what it says')
        report = self.client.inspect(module)
        self.assertEqual(report['name'], 'lp_one')
        self.assertEqual(report['kernel-release'], fixtures.RELEASE)
        self.assertEqual((report['version'], report['description'], report['license']), ('2.1', 'what it says', 'GPL'))
        self.assertEqual(report['sha256'], hashlib.sha256(module).hexdigest())
        self.assertEqual(report['size'], len(module))
        self.assertEqual((report['compression'], report['architecture']), ('none', 'x86_64'))
        self.assertIs(report['livepatch'], True)
        self.assertIs(report['objects-known'], True)
        self.assertEqual(sorted(o[0] for o in report['objects']), ['absent', 'vmlinux'])
        self.assertEqual((report['signature-status'], report['signer']), ('trusted', 'CN=good,O=Integration'))
        self.assertEqual(report['signer-fingerprint'], fixtures.fingerprint('good'))
        self.assertIs(report['would-apply'], True)
        self.assertEqual((report['refusal'], report['refusal-text']), ('', ''))
        self.assertEqual(sorted(report), sorted([
            'name', 'kernel-release', 'vermagic', 'version', 'description', 'license', 'sha256', 'build-id',
            'srcversion', 'architecture', 'livepatch', 'kind', 'replace', 'objects-known', 'objects',
            'signature-status', 'signer', 'signer-fingerprint', 'digest', 'signature-text', 'size', 'compression',
            'findings', 'would-apply', 'refusal', 'refusal-text']))
        self.assertEqual((self.client.manager('ListPatches'), self.stored(), self.inserted()), ([], [], []))

    def test_inspect_of_what_would_be_refused(self):
        for module, name in [(fixtures.build(), 'Unsigned'), (fixtures.module(signer='stranger'), 'UntrustedSigner'),
                             (fixtures.module(release='5.10.0-1-amd64'), 'WrongKernel')]:
            report = self.client.inspect(module)
            self.assertIs(report['would-apply'], False)
            self.assertEqual(report['refusal'], harness.ERROR + name)
            self.assertGreater(len(report['refusal-text']), 10)

    def test_with_another_client_library(self):
        """dbus-python finds its way by introspection."""
        connection = dbus.bus.BusConnection(self.address)
        self.addCleanup(connection.close)
        manager = dbus.Interface(connection.get_object(harness.NAME, harness.ROOT_PATH), harness.MANAGER)
        with harness.memory_file(fixtures.module()) as f:
            path = manager.Stage(dbus.types.UnixFd(f.fileno()), {'reapply': True})
        patch = connection.get_object(harness.NAME, path)
        properties = patch.GetAll(harness.PATCH, dbus_interface=harness.PROPERTIES)
        self.assertEqual((properties['State'], bool(properties['Reapply'])), ('staged', True))
        self.assertEqual([str(p['Name']) for p in manager.ListPatches()], ['lp_one'])


if __name__ == '__main__':
    harness.main()
