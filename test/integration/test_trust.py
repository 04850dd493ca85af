#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trusted certificates over the bus."""

import os

import fixtures
import harness


class Trust(harness.IntegrationTest):
    def add(self, data):
        with harness.memory_file(data) as f:
            return self.client.manager('AddTrust', '(h)', 0, fds=[f.fileno()])

    def read_certificate(self, name):
        with open(fixtures.certificate(name), 'rb') as f:
            return f.read()

    def listed(self):
        return {c['fingerprint']: c for c in self.client.manager('ListTrust')}

    def test_list(self):
        good, = self.client.manager('ListTrust')
        self.assertEqual(good['fingerprint'], fixtures.fingerprint('good'))
        self.assertEqual((good['subject'], good['issuer']), ('CN=good,O=Integration',) * 2)
        self.assertEqual((good['origin'], good['file']), ('admin', 'good.pem'))
        self.assertEqual((good['ca'], good['revoked']), (False, False))
        self.assertLess(good['not-before'], good['not-after'])
        self.assertEqual(sorted(good), sorted(['subject', 'issuer', 'fingerprint', 'key', 'skid', 'origin', 'file',
                                               'not-before', 'not-after', 'ca', 'revoked']))

    def test_add_and_remove(self):
        module = fixtures.module(signer='stranger')
        self.assert_error('UntrustedSigner', self.client.stage, module)
        fingerprint = self.add(self.read_certificate('stranger'))
        self.assertEqual(fingerprint, fixtures.fingerprint('stranger'))
        self.assertIn(fingerprint, self.listed())
        self.client.stage(module)
        self.assertIsNone(self.client.manager('RemoveTrust', '(s)', fingerprint))
        self.assertNotIn(fingerprint, self.listed())
        self.assert_error('UntrustedSigner', self.client.apply, module)

    def test_add_twice(self):
        self.assertEqual(self.add(self.read_certificate('good')), fixtures.fingerprint('good'))
        self.assertEqual(list(self.listed()), [fixtures.fingerprint('good')])

    def test_remove_by_what_people_type(self):
        digits = fixtures.fingerprint('good').upper()
        self.client.manager('RemoveTrust', '(s)', ':'.join(digits[i:i + 2] for i in range(0, 64, 2)))
        self.assertEqual(self.client.manager('ListTrust'), [])

    def test_nonsense(self):
        for data in [b'', b'x', b'-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', os.urandom(500),
                     fixtures.module()]:
            self.assert_error('InvalidCertificate', self.add, data)
        self.assertEqual(list(self.listed()), [fixtures.fingerprint('good')])
        self.assertEqual(os.listdir(self.path('etc/livepatch/trusted.d')), ['good.pem'])

    def test_too_large(self):
        with self.assertRaises(harness.CallError) as caught:
            self.add(self.read_certificate('stranger') + b'\n' * 70000)
        self.assertIn(caught.exception.name, (harness.ERROR + 'TooLarge', harness.ERROR + 'InvalidCertificate'))

    def test_a_key_is_no_certificate(self):
        with open(os.path.join(fixtures.keys(), 'stranger.key'), 'rb') as f:
            self.assert_error('InvalidCertificate', self.add, f.read())

    def test_revoked(self):
        self.write('etc/livepatch/revoked.d/stranger.pem', self.read_certificate('stranger').decode())
        self.assert_error('Revoked', self.add, self.read_certificate('stranger'))
        self.write('etc/livepatch/revoked.d/good.pem', self.read_certificate('good').decode())
        self.assertIs(self.listed()[fixtures.fingerprint('good')]['revoked'], True)

    def test_vendor(self):
        self.write('usr/lib/livepatch/trusted.d/vendor.pem', self.read_certificate('stranger').decode())
        self.assertEqual(self.listed()[fixtures.fingerprint('stranger')]['origin'], 'vendor')
        self.client.stage(fixtures.module(signer='stranger'))
        self.assert_error('ReadOnly', self.client.manager, 'RemoveTrust', '(s)', fixtures.fingerprint('stranger'))

    def test_unreadable_revocation_fails_closed(self):
        self.write('etc/livepatch/revoked.d/broken.sha256', 'not a digest\n')
        with self.assertRaises(harness.CallError):
            self.client.apply(fixtures.module())
        self.assertEqual(self.inserted(), [])


if __name__ == '__main__':
    harness.main()
