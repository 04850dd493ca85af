#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every reason to refuse has its own error name and text, is found before the kernel hears of the module, and leaves
nothing behind."""

import fixtures
import harness


class Refusals(harness.IntegrationTest):
    def refused(self, name, module):
        """Apply and Stage say no, for this reason, without a trace."""
        before = self.stored()
        texts = {self.assert_error(name, self.client.apply, module), self.assert_error(name, self.client.stage, module)}
        self.assertEqual(self.inserted(), [])
        self.assertEqual(self.stored(), before)
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.assertEqual(self.client.signals_of('InterfacesAdded'), [])
        return texts

    def test_signatures(self):
        module = fixtures.module()
        payload = fixtures.build()
        signature = module[len(payload):]
        changed = bytearray(module)
        changed[len(payload) // 2] ^= 1
        self.refused('Unsigned', payload)
        self.refused('Unsigned', module + b'\n')
        self.refused('UntrustedSigner', fixtures.module(signer='stranger'))
        self.refused('SignatureMismatch', bytes(changed))
        self.refused('SignatureMalformed', payload + fixtures.trailer(b'no signature'))
        self.refused('SignatureMalformed', payload + fixtures.trailer(b''))
        self.refused('SignatureMalformed', signature[-40:])
        self.refused('WeakAlgorithm', fixtures.sign(payload, digest='sha1'))

    def test_wrong_key_usage(self):
        with open(fixtures.certificate('tls'), encoding='ascii') as f:
            self.write('etc/livepatch/trusted.d/tls.pem', f.read())
        self.refused('WrongKeyUsage', fixtures.module(signer='tls'))

    def test_revoked(self):
        module = fixtures.module()
        digest = self.client.inspect(module)['sha256']
        self.write('etc/livepatch/revoked.d/module.sha256', digest + '\n')
        self.refused('Revoked', module)
        self.write('etc/livepatch/revoked.d/module.sha256', '')
        with open(fixtures.certificate('good'), encoding='ascii') as f:
            self.write('etc/livepatch/revoked.d/signer.pem', f.read())
        self.refused('Revoked', module)

    def test_modules(self):
        self.refused('NotALivepatch', fixtures.sign(fixtures.build(plain=True)))
        self.refused('WrongKernel', fixtures.module(release='6.1.0-99-amd64'))
        self.refused('MalformedModule', fixtures.sign(fixtures.build()[:600]))
        self.refused('MalformedModule', fixtures.sign(b'\x7fELF'))
        self.refused('MalformedModule', fixtures.sign(b'#!/bin/sh\n'))
        self.refused('MalformedModule', b'')
        self.refused('Unsigned', b'\0')

    def test_wrong_architecture(self):
        changed = bytearray(fixtures.build())
        changed[18:20] = (183).to_bytes(2, 'little')  # e_machine: EM_AARCH64
        self.refused('WrongArchitecture', fixtures.sign(bytes(changed)))

    def test_switched_off(self):
        self.write('etc/livepatch/disabled', '')
        self.assert_error('SwitchedOff', self.client.apply, fixtures.module())
        self.assertEqual((self.inserted(), self.stored()), ([], []))

    def test_no_such_things(self):
        self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', 'lp_none')
        self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', '')
        self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', '../../etc/passwd')
        self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', 'x' * 60000)
        text = self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', 'a\x1b[31m\u202eb')
        self.assertNotIn('\x1b', text)
        self.assertNotIn('\u202e', text)
        for path in ['/org/livepatch/patch/lp_5fnone', '/org/livepatch/patch', '/org/livepatch/job/1',
                     '/org/livepatch/job/0', '/org/livepatch/job/x', '/org/livepatch/job']:
            with self.assertRaises(harness.CallError) as caught:
                self.client.get(path, harness.PATCH, 'State')
            self.assertIn(caught.exception.name, [harness.FREEDESKTOP_ERROR + 'UnknownObject',
                                                  harness.FREEDESKTOP_ERROR + 'UnknownInterface',
                                                  harness.FREEDESKTOP_ERROR + 'UnknownProperty'])
        self.assert_error('NoSuchCertificate', self.client.manager, 'RemoveTrust', '(s)', '0' * 64)

    def test_an_object_has_one_path(self):
        self.client.stage(fixtures.module())
        for alias in ['lp_5Fone', '_6cp_5fone', 'lp_one']:
            self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownObject', self.client.state,
                              '/org/livepatch/patch/' + alias)

    def test_not_applied(self):
        path = self.client.stage(fixtures.module())
        self.assert_error('NotApplied', self.client.patch, path, 'Revert')

    def test_already_applied(self):
        module = fixtures.module()
        path = self.client.apply_and_wait(module)
        self.assert_error('AlreadyApplied', self.client.apply, module)
        self.assert_error('AlreadyApplied', self.client.patch, path, 'Apply')
        self.assertEqual(self.inserted(), ['lp_one'])

    def test_another_build_is_loaded(self):
        path = self.client.apply_and_wait(fixtures.module(build=1))
        self.assert_error('Conflict', self.client.apply, fixtures.module(build=2))
        self.assertEqual(self.client.state(path), 'applied')
        self.assertEqual(self.client.get(path, harness.PATCH, 'BuildId')[:2], '01')

    def test_kernel_refuses(self):
        self.control('insert-errno', 'EINVAL')
        self.control('insert-log', "<3>livepatch: symbol 'cmdline_proc_show' not found in symbol table")
        job = self.client.wait_job(self.client.apply(fixtures.module()))
        self.assertEqual((job['Result'], job['Error'][0]), ('failed', harness.ERROR + 'KernelRefused'))
        self.assertIn('cmdline_proc_show', job['Error'][1])
        self.assertFalse(self.exists('sys/module/lp_one'))
        # What failed is not kept for the next boot.
        for patch in self.client.manager('ListPatches'):
            self.assertIs(patch['Reapply'], False)
            self.assertEqual(patch['State'], 'failed')
            self.assertIn('cmdline_proc_show', patch['FailureReason'])

    def test_kernel_is_busy(self):
        self.control('insert-errno', 'EBUSY')
        job = self.client.wait_job(self.client.apply(fixtures.module()))
        self.assertEqual(job['Result'], 'failed')
        self.assertTrue(job['Error'][0].startswith(harness.ERROR))

    def test_after_a_failure_it_can_be_tried_again(self):
        self.control('insert-errno', 'EINVAL')
        self.client.wait_job(self.client.apply(fixtures.module()))
        self.control('insert-errno', None)
        path = self.client.apply_and_wait(fixtures.module())
        self.assertEqual((self.client.state(path), self.client.get(path, harness.PATCH, 'FailureReason')),
                         ('applied', ''))

    def test_store_cannot_be_written(self):
        harness.shutil.rmtree(self.path('var/lib/livepatch/patches'), ignore_errors=True)
        self.write('var/lib/livepatch/patches', 'a file in the way')
        self.assert_error('StoreFailed', self.client.stage, fixtures.module())
        self.assertEqual(self.client.manager('ListPatches'), [])

    def test_not_supported(self):
        self.stop_daemon()
        harness.shutil.rmtree(self.path('sys/kernel/livepatch'))
        self.start()
        self.assertIs(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'LivepatchSupported'), False)
        self.assert_error('NotSupported', self.client.apply, fixtures.module())
        self.assertEqual(self.inserted(), [])


class Warn(harness.IntegrationTest):
    config = 'SignaturePolicy=warn\n'

    def test_unsigned_is_applied_and_marked(self):
        path = self.client.apply_and_wait(fixtures.build())
        patch = self.client.get_all(path, harness.PATCH)
        self.assertEqual((patch['State'], patch['SignatureStatus'], patch['Signer']), ('applied', 'unsigned', ''))
        self.assertIn('SignaturePolicy=warn', self.daemon.text())

    def test_tampered_is_refused_all_the_same(self):
        changed = bytearray(fixtures.module())
        changed[300] ^= 1
        self.assert_error('SignatureMismatch', self.client.apply, bytes(changed))
        self.assertEqual(self.inserted(), [])


class Small(harness.IntegrationTest):
    config = 'ModuleSizeMax=4K\n'

    def test_too_large(self):
        text = self.assert_error('TooLarge', self.client.apply, fixtures.module())
        self.assertIn('limit is 4096 (ModuleSizeMax=4K)', text)
        self.assertEqual((self.inserted(), self.stored()), ([], []))


if __name__ == '__main__':
    harness.main()
