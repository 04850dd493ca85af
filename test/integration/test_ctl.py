#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""livepatchctl against a mock of livepatchd on a private bus: text, JSON, exit codes, progress, failures."""

import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import termios
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
CTL = os.environ.get('LIVEPATCHCTL', 'livepatchctl')
TIMEOUT = 60
NOBODY = 65534
RELEASE = '6.1.0-56-amd64'

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={dir}/bus</listen>
  <servicedir>{dir}/services</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


def patch(name, **properties):
    return {
        'Name': name, 'KernelRelease': RELEASE, 'State': 'applied', 'Reapply': True, 'Drift': '', 'Withdrawn': False,
        'Unconfirmed': False, 'ConfirmBefore': 0, 'Sha256': 'ab' * 32, 'BuildId': 'cd' * 20, 'ModuleVersion': '1.2',
        'Description': 'Mends the command line', 'SignatureStatus': 'trusted', 'Signer': 'CN=Patch signing',
        'Kind': 'hand-written', 'Replace': 'no', 'StackOrder': 1, 'ObjectsKnown': True,
        'Objects': [('vmlinux', True, [('cmdline_proc_show', 1, True), ('twice', 2, False)])],
        'CVEs': ['CVE-2024-0001'], 'Severity': 'high', 'Origin': 'local', 'AppliedAt': 1700000000000000, 'AppliedBy': 0,
        'FailureReason': '', 'QuarantineReason': '', 'QuarantinedBuilds': 0, 'Supersedes': [], 'SupersededBy': '',
        **properties}


MANAGER = {
    'Version': '0', 'KernelRelease': RELEASE, 'Architecture': 'x86_64', 'BootId': '0' * 32, 'LivepatchSupported': True,
    'Mode': 'enabled', 'SignaturePolicy': 'require', 'Lockdown': 'none', 'SecureBoot': 'disabled',
    'ModuleSignatureEnforced': 'no', 'FtraceEnabled': 'yes', 'Taint': 45056, 'Summary': {'applied': 1}, 'Problems': []}


class Bus:
    """A bus on which the mock is started on demand."""

    def __init__(self, directory):
        self.dir = directory
        self.env = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': f'unix:path={directory}/bus',
                    'MOCK_STATE': f'{directory}/state', 'MOCK_LOG': f'{directory}/log', 'LC_ALL': 'C.UTF-8',
                    'TZ': 'UTC', 'TERM': 'xterm'}
        for name in ('NO_COLOR', 'SYSTEMD_COLORS', 'PAGER', 'SYSTEMD_PAGER', 'COLUMNS', 'LINES', 'LD_PRELOAD'):
            self.env.pop(name, None)
        (directory / 'services').mkdir()
        (directory / 'services/org.livepatch.service').write_text(
            f'[D-BUS Service]\nName=org.livepatch\nExec=/usr/bin/python3 {HERE}/mock_livepatchd.py\n')
        (directory / 'bus.conf').write_text(BUS_CONFIG.format(dir=directory))
        self.daemon = subprocess.Popen(['dbus-daemon', f'--config-file={directory}/bus.conf', '--nofork',
                                        '--print-address'],
                                       env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.daemon.stdout.readline()

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait(TIMEOUT)
        self.daemon.stdout.close()


class CtlTest(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix='livepatchctl-'))
        self.dir.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.set_state()
        self.bus = Bus(self.dir)
        self.addCleanup(self.bus.stop)
        self.env = self.bus.env

    def set_state(self, patches=None, manager=None, behaviours=None, certificates=None,
                  steps=None):
        (self.dir / 'state').write_text(json.dumps({
            'patches': [patch('lp_cmdline')] if patches is None else patches, 'manager': {**MANAGER, **(manager or {})},
            'behaviours': behaviours or {}, 'certificates': certificates or [], 'steps': steps or []}))

    def module(self, text, name='module.ko'):
        path = self.dir / name
        path.write_text(text)
        return str(path)

    def ctl(self, *args, code=0, **kwargs):
        kwargs.setdefault('stdin', subprocess.DEVNULL if 'input' not in kwargs else None)
        if kwargs['stdin'] is None:
            del kwargs['stdin']
        p = subprocess.run([CTL, *args], env={**self.env, **kwargs.pop('env', {})}, capture_output=True, text=True,
                           timeout=TIMEOUT, check=False, **kwargs)
        self.assertEqual(p.returncode, code, f'{args}: {p.stdout}{p.stderr}')
        return p

    def json(self, *args, **kwargs):
        document = json.loads(self.ctl('--json=short', *args, **kwargs).stdout)
        self.assertEqual(document['schema'], 1)
        return document

    def calls(self, method):
        path = self.dir / 'log'
        lines = path.read_text().splitlines() if path.exists() else []
        return [c for c in map(json.loads, lines) if c['method'] == method]

    def start(self, *args, **kwargs):
        p = subprocess.Popen([CTL, *args], env=self.env, text=True, stdout=subprocess.PIPE,
                             **{'stdin': subprocess.DEVNULL, 'stderr': subprocess.PIPE, **kwargs})
        self.addCleanup(p.stdout.close)
        return p


class Reading(CtlTest):
    def test_list_is_one_call(self):
        self.set_state([patch('lp_cmdline'),
                        patch('lp_stall', State='failed', SignatureStatus='unsigned', Reapply=False)])
        lines = self.ctl('list').stdout.splitlines()
        self.assertEqual(lines[0].split(), ['NAME', 'STATE', 'REAPPLY', 'VERSION', 'KERNEL', 'SIGNATURE'])
        self.assertEqual(lines[1].split(), ['lp_cmdline', 'applied', 'yes', '1.2', RELEASE, 'trusted'])
        self.assertEqual(lines[2].split(), ['lp_stall', 'failed', 'no', '1.2', RELEASE, 'unsigned'])
        self.assertEqual(lines[4], '2 patches are known.')
        self.assertEqual(len(self.calls('ListPatches')), 1)

    def test_list_without_legend_is_only_rows(self):
        self.assertEqual(self.ctl('list', '--no-legend').stdout.split()[0], 'lp_cmdline')

    def test_list_of_nothing_says_what_to_do(self):
        self.set_state([])
        self.assertIn('livepatchctl apply FILE', self.ctl('list').stdout)
        self.assertEqual(self.ctl('list', '--no-legend').stdout, '')

    def test_list_full_has_descriptions(self):
        self.assertIn('Mends the command line', self.ctl('list', '-l').stdout)
        self.assertNotIn('Mends', self.ctl('list').stdout)

    def test_list_json(self):
        p = self.json('list')['patches'][0]
        self.assertEqual(p['name'], 'lp_cmdline')
        self.assertEqual(p['build_id'], 'cd' * 20)
        self.assertEqual(p['cves'], ['CVE-2024-0001'])
        self.assertEqual(p['objects'], [{'name': 'vmlinux', 'loaded': True, 'functions': [
            {'name': 'cmdline_proc_show', 'sympos': 1, 'patched': True},
            {'name': 'twice', 'sympos': 2, 'patched': False}]}])

    def test_json_says_null_for_what_is_not_known(self):
        self.set_state([patch('lp_cmdline', AppliedAt=0, AppliedBy=4294967295)])
        p = self.json('show', 'lp_cmdline')['patches'][0]
        self.assertIsNone(p['applied_at'])
        self.assertIsNone(p['applied_by'])

    def test_json_pretty_is_the_same_document(self):
        pretty = self.ctl('list', '--json=pretty').stdout
        self.assertGreater(pretty.count('\n'), 5)
        self.assertEqual(json.loads(pretty), self.json('list'))

    def test_text_of_others_cannot_steer_the_terminal(self):
        self.set_state([patch('lp_cmdline', Description='\x1b]0;owned\x07\u202etxt', Drift='one\ntwo')])
        for args in (['list', '-l'], ['show', 'lp_cmdline'], ['status'], ['list', '--json=short']):
            out = self.ctl(*args).stdout
            self.assertNotIn('\x1b', out)
            self.assertNotIn('\u202e', out)
        self.assertIn('one two', self.ctl('status').stdout)

    def test_show(self):
        out = self.ctl('show', 'lp_cmdline').stdout
        for part in ('Name: lp_cmdline', 'State: applied', 'Signer: CN=Patch signing', 'Build id: ' + 'cd' * 20,
                     'SHA-256: ' + 'ab' * 32, 'patched   cmdline_proc_show', 'unpatched twice (no. 2 of this name)',
                     'CVE-2024-0001', '2023-11-14 22:13:20 UTC by root'):
            self.assertIn(part, out)

    def test_show_says_why_a_patch_failed(self):
        self.set_state([patch('lp_bad', State='failed', FailureReason='The kernel said no')])
        self.assertIn('Failure: The kernel said no', self.ctl('show', 'lp_bad').stdout)

    def test_show_with_unknown_functions(self):
        self.set_state([patch('lp_cmdline', Objects=[], ObjectsKnown=False)])
        self.assertIn('Functions: not known', self.ctl('show', 'lp_cmdline').stdout)

    def test_show_of_a_mistyped_name_suggests_and_shows_the_rest(self):
        p = self.ctl('show', 'lp_cmdlien', 'lp-cmdline', code=4)
        self.assertIn("There is no patch 'lp_cmdlien'. Did you mean 'lp_cmdline'?", p.stderr)
        self.assertIn('Name: lp_cmdline', p.stdout)

    def test_show_of_something_else_suggests_nothing(self):
        self.assertNotIn('Did you mean', self.ctl('show', 'zzzzzzzz', code=4).stderr)

    def test_plan(self):
        finding = {'severity': 'warning', 'code': 'function-probed', 'object': 'vmlinux', 'function': 'f',
                   'text': 'There is a probe\x1b[31m'}
        self.set_state(steps=[{'action': 'replace', 'patch': 'lp_new', 'reason': 'It is cumulative',
                               'findings': [finding]},
                              {'action': 'revert', 'patch': 'lp_old', 'reason': "'lp_new' takes its place",
                               'findings': []}])
        out = self.ctl('plan').stdout
        self.assertRegex(out, r'replace +lp_new +It is cumulative\nrevert +lp_old +.lp_new. takes its place\n')
        self.assertIn('lp_new: warning: There is a probe', out)
        self.assertNotIn('\x1b', out)
        document = self.json('plan', 'lp-cmdline')
        self.assertEqual([s['action'] for s in document['steps']], ['replace', 'revert'])
        self.assertEqual(document['steps'][0]['findings'][0]['code'], 'function-probed')
        self.assertEqual([c['names'] for c in self.calls('Plan')], [[], ['lp_cmdline']])

    def test_plan_of_nothing(self):
        self.assertIn('Nothing to do', self.ctl('plan').stdout)
        self.assertEqual(self.ctl('plan', '--no-legend').stdout, '')
        self.assertEqual(self.json('plan')['steps'], [])
        self.assertIn("There is no patch 'lp_none'", self.ctl('plan', 'lp_none', code=4).stderr)

    def test_status(self):
        out = self.ctl().stdout
        self.assertIn(f'Kernel: {RELEASE} (x86_64), can be live-patched', out)
        self.assertIn('Mode: enabled', out)
        self.assertIn('Patches: 1 applied', out)
        self.assertNotIn('Secure Boot', out)
        self.assertNotIn('Problems', out)

    def test_status_points_at_what_is_wrong(self):
        self.set_state([patch('lp_cmdline', Reapply=False, SignatureStatus='unsigned', Drift='loaded build differs'),
                        patch('lp_bad', State='quarantined', QuarantineReason='The machine went down meanwhile')],
                       {'Mode': 'off', 'SignaturePolicy': 'warn', 'Lockdown': 'integrity', 'SecureBoot': 'enabled',
                        'FtraceEnabled': 'no', 'Problems': ['A record was damaged', 'A certificate cannot be read']})
        out = self.ctl('status').stdout
        for part in ('Mode: off', '/etc/livepatch/disabled', 'SignaturePolicy=warn',
                     'Secure Boot: enabled, lockdown: integrity', 'ftrace is off', 'Problems: A record was damaged',
                     'A certificate cannot be read', '1 quarantined',
                     'loaded build differs; signature: unsigned; not reapplied at boot', 'The machine went down'):
            self.assertIn(part, out)

    def test_status_shows_running_jobs(self):
        self.ctl('apply', '--no-block', self.module('mock lp_slow slow'))
        time.sleep(0.3)
        self.assertIn('lp_slow: applying, ', self.ctl('status').stdout)
        self.assertEqual(self.json('status')['jobs'][0]['patch'], 'lp_slow')

    def test_status_json(self):
        status = self.json('status')
        self.assertIs(status['reachable'], True)
        self.assertEqual(status['manager']['signature_policy'], 'require')
        self.assertEqual(status['manager']['summary'], {'applied': 1})

    def test_status_of_a_service_that_does_not_start_tells_what_the_kernel_does(self):
        (self.dir / 'state').unlink()
        p = self.ctl('status', code=1)
        self.assertIn('livepatchd cannot be started', p.stderr)
        self.assertIn(f'Kernel: {os.uname().release}', p.stdout)
        document = json.loads(self.ctl('status', '--json=short', code=1).stdout)
        self.assertIs(document['reachable'], False)
        self.assertEqual(document['error']['exit_code'], 1)

    def test_reading_without_a_bus_fails_with_a_document(self):
        p = self.ctl('list', '-j', code=1, env={'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'})
        self.assertIn('Failed to connect to the system bus', p.stderr)
        self.assertIn('Failed to connect', json.loads(p.stdout)['error']['text'])

    def test_full_disk_is_noticed(self):
        with open('/dev/full', 'w', encoding='utf-8') as full:
            p = subprocess.run([CTL, 'list'], env=self.env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn('No space left', p.stderr)

    def test_colour(self):
        self.assertIn('\x1b[0;32mapplied', self.ctl('list', '--color=always').stdout)
        self.assertIn('\x1b[0;32mapplied', self.ctl('list', env={'SYSTEMD_COLORS': '1'}).stdout)
        for args, env in ((['list'], {}), (['list', '--color=never'], {'SYSTEMD_COLORS': '1'}),
                          (['list', '--json=short', '--color=always'], {})):
            self.assertNotIn('\x1b', self.ctl(*args, env=env).stdout)


class Applying(CtlTest):
    def test_apply_file(self):
        p = self.ctl('apply', self.module('mock lp_new done'))
        self.assertEqual(p.stdout, "Patch 'lp_new' is applied, and will be reapplied at boot.\n")
        self.assertEqual(self.calls('Apply')[0], {'method': 'Apply', 'name': 'lp_new', 'options': {'runtime': False}})

    def test_apply_runtime(self):
        p = self.ctl('apply', '--runtime', self.module('mock lp_new done'))
        self.assertIn('for this boot only', p.stdout)
        self.assertEqual(self.calls('Apply')[0]['options'], {'runtime': True})

    def test_apply_on_condition(self):
        p = self.ctl('apply', '--confirm-within=10min', self.module('mock lp_new done'))
        self.assertRegex(p.stdout, r"will be reverted in (10min|9min 5\ds) unless it is confirmed: "
                                   r"livepatchctl confirm lp_new\n")
        self.assertEqual(self.calls('Apply')[0]['options'], {'runtime': False, 'confirm-within': 600000000})
        self.assertRegex(self.ctl('status').stdout, r'not confirmed, reverted in (10min|9min 5\ds)')
        self.assertRegex(self.ctl('list').stdout, r'applied \(confirm in (10min|9min 5\ds)\)')
        self.assertRegex(self.ctl('show', 'lp_new').stdout, r"Unconfirmed: yes, reverted in .* unless 'livepatchctl "
                                                            r"confirm lp_new' comes before")
        self.assertIs(self.json('list')['patches'][1]['unconfirmed'], True)
        self.assertGreater(self.json('list')['patches'][1]['confirm_before'], time.time() * 1e6)

    def test_apply_name_on_condition(self):
        self.set_state([patch('lp_cmdline', State='staged', Reapply=False)])
        self.ctl('apply', '--runtime', '--confirm-within=90', 'lp_cmdline')
        self.assertEqual(self.calls('Patch.Apply')[0]['options'], {'runtime': True, 'confirm-within': 90000000})

    def test_unconfirmed_in_transition(self):
        self.set_state([patch('lp_cmdline', State='applying', Unconfirmed=True)])
        self.assertIn('will have to be confirmed', self.ctl('status').stdout)
        self.assertNotIn('confirm', self.ctl('list').stdout)
        self.assertIn('its time begins when it is applied', self.ctl('show', 'lp_cmdline').stdout)

    def test_confirm(self):
        self.set_state([patch('lp_cmdline', Unconfirmed=True, ConfirmBefore=1 << 50, Reapply=False)])
        p = self.ctl('confirm', 'lp-cmdline')
        self.assertIn('is confirmed: it stays applied, and will be reapplied at boot', p.stdout)
        self.assertEqual(self.calls('Confirm')[0]['name'], 'lp_cmdline')
        result = self.json('confirm', 'lp_cmdline')['results'][0]
        self.assertEqual((result['operation'], result['result'], result['patch']),
                         ('confirm', 'already-applied', 'lp_cmdline'))

    def test_confirm_too_late(self):
        self.set_state([patch('lp_cmdline', State='failed', FailureReason='It was not confirmed')])
        self.assertIn('too late', self.ctl('confirm', 'lp_cmdline', code=1).stderr)

    def test_confirm_what_is_gone(self):
        self.assertIn('lp_cmdline', self.ctl('confirm', 'lp_cmdlin', code=4).stderr)
        self.assertEqual(self.calls('Confirm'), [])

    def test_apply_name(self):
        self.set_state([patch('lp_cmdline', State='staged')])
        self.assertIn('is applied', self.ctl('apply', 'lp_cmdline').stdout)
        self.assertEqual(self.calls('Patch.Apply')[0]['options'], {'runtime': False})

    def test_apply_standard_input(self):
        self.assertIn("'lp_new' is applied", self.ctl('apply', '-', input='mock lp_new done').stdout)

    def test_apply_empty_standard_input(self):
        self.assertIn('Standard input is empty', self.ctl('apply', '-', input='', code=5).stderr)
        self.assertEqual(self.calls('Apply'), [])

    def test_apply_standard_input_from_a_terminal_is_wrong_usage(self):
        leader, follower = pty.openpty()
        p = self.ctl('apply', '-', stdin=follower, code=2)
        os.close(leader)
        os.close(follower)
        self.assertIn('which is a terminal', p.stderr)

    def test_apply_json(self):
        result = self.json('apply', self.module('mock lp_new done'))['results'][0]
        self.assertEqual((result['operation'], result['patch'], result['result'], result['error']),
                         ('apply', 'lp_new', 'done', None))
        self.assertEqual(result['job'], '/org/livepatch/job/1')

    def test_quiet_apply_is_quiet(self):
        p = self.ctl('-q', 'apply', self.module('mock lp_new done'))
        self.assertEqual((p.stdout, p.stderr), ('', ''))

    def test_already_applied_is_success(self):
        p = self.ctl('apply', 'lp_cmdline')
        self.assertIn('is applied already', p.stdout)
        self.assertEqual(self.json('apply', 'lp_cmdline')['results'][0]['result'], 'already-applied')

    def test_no_block(self):
        result = self.json('apply', '--no-block', self.module('mock lp_new slow'))['results'][0]
        self.assertEqual((result['result'], result['job']), ('queued', '/org/livepatch/job/1'))

    def test_refusals_have_their_exit_codes(self):
        for error, code in (('Unsigned', 5), ('WrongKernel', 5), ('Conflict', 5), ('Quarantined', 5),
                            ('SwitchedOff', 5), ('Stalled', 6), ('NotSupported', 7), ('KernelRefused', 1), ('Busy', 1),
                            ('Nonsense', 1)):
            p = self.ctl('apply', self.module(f'mock lp_new refuse {error}'), code=code)
            self.assertEqual(p.stderr, f'livepatchctl: The mock refuses: {error}\n')
            self.assertEqual(p.stdout, '')

    def test_refusal_json(self):
        result = self.json('apply', self.module('mock lp_new refuse Unsigned'), code=5)['results'][0]
        self.assertEqual(result['result'], 'failed')
        self.assertIsNone(result['job'])
        self.assertEqual(result['error'], {'name': 'org.livepatch.Error.Unsigned', 'text': 'The mock refuses: Unsigned',
                                           'exit_code': 5})

    def test_not_authorised(self):
        self.assertIn('The mock denies it', self.ctl('apply', self.module('mock lp_new denied'), code=3).stderr)
        p = self.ctl('apply', self.module('mock lp_new interactive'), code=3)
        self.assertIn('The mock wants a password. Run this as root', p.stderr)

    def test_job_that_ends_badly(self):
        for behaviour, error, code in (('failed', 'KernelRefused', 1), ('stalled', 'Stalled', 6), ('stalled', '', 6),
                                       ('canceled', '', 1), ('canceled', 'Canceled', 1), ('failed', 'Conflict', 5),
                                       ('failed', '', 1)):
            p = self.ctl('apply', self.module(f'mock lp_new {behaviour} {error}'), code=code)
            self.assertTrue(p.stderr.startswith('livepatchctl: '), p.stderr)
            if error:
                self.assertIn(f'The mock ended it as {behaviour}', p.stderr)
            self.assertEqual(p.stdout, '')

    def test_job_that_ends_badly_json(self):
        result = self.json('apply', self.module('mock lp_new stalled Stalled'), code=6)['results'][0]
        self.assertEqual((result['result'], result['error']['name']), ('stalled', 'org.livepatch.Error.Stalled'))

    def test_every_argument_is_tried_and_the_first_failure_counts(self):
        bad, worse = self.module('mock lp_a refuse Unsigned', 'a.ko'), self.module('mock lp_b denied', 'b.ko')
        p = self.ctl('apply', bad, worse, self.module('mock lp_c done', 'c.ko'), code=5)
        self.assertIn("'lp_c' is applied", p.stdout)
        self.assertEqual(len(p.stderr.splitlines()), 2)

    def test_missing_file(self):
        p = self.ctl('apply', '/nonexistent/x.ko', code=1)
        self.assertIn("Failed to open '/nonexistent/x.ko': No such file or directory", p.stderr)
        self.assertIn('There is no file', self.ctl('apply', 'x.ko', code=1).stderr)

    def test_files_come_before_the_bus(self):
        nowhere = {'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}
        large = self.module('', 'large.ko')
        os.truncate(large, (512 << 20) + 1)
        for verb in (['apply'], ['stage'], ['trust', 'add']):
            p = self.ctl(*verb, '/nonexistent/x.ko', code=1, env=nowhere)
            self.assertIn("Failed to open '/nonexistent/x.ko': No such file or directory", p.stderr)
            self.assertNotIn('bus', p.stderr)
            p = self.ctl(*verb, str(self.dir), code=5, env=nowhere)
            self.assertIn('a directory, not a regular file', p.stderr)
            p = self.ctl(*verb, large, code=5, env=nowhere)
            self.assertIn('cannot be right', p.stderr)
        result = self.json('apply', '/nonexistent/x.ko', code=1, env=nowhere)['results'][0]
        self.assertEqual(result['result'], 'failed')
        # With a file that is fine there is no way round the bus, and one failure tells it.
        p = self.ctl('apply', '/nonexistent/x.ko', self.module('fine'), code=1, env=nowhere)
        self.assertIn('x.ko', p.stderr)
        self.assertIn('bus', p.stderr)

    def test_not_a_regular_file(self):
        self.assertIn('is a directory', self.ctl('apply', str(self.dir), code=5).stderr)
        os.mkfifo(self.dir / 'fifo')
        self.assertIn('not a regular file', self.ctl('apply', str(self.dir / 'fifo'), code=5).stderr)

    def test_unknown_name_suggests(self):
        p = self.ctl('apply', 'lp_cmdlin', code=4)
        self.assertIn("Did you mean 'lp_cmdline'?", p.stderr)

    def test_file_in_this_directory_wins_over_a_name(self):
        self.module('mock lp_new done', 'lp_cmdline')
        self.assertIn("'lp_new' is applied", self.ctl('apply', 'lp_cmdline', cwd=self.dir).stdout)

    def test_a_file_that_nobody_vouches_for_is_pointed_out(self):
        self.set_state([patch('lp_cmdline', State='staged', SignatureStatus='unsigned')])
        self.assertIn("warning: The signature of patch 'lp_cmdline'", self.ctl('apply', 'lp_cmdline').stderr)

    def test_service_killed_during_the_job(self):
        self.assertIn("'lp_new' is applied", self.ctl('apply', self.module('mock lp_new die')).stdout)
        p = self.ctl('apply', self.module('mock lp_other die-failed'), code=1)
        self.assertIn("livepatchd was restarted during the job; patch 'lp_other' is now in state 'failed'", p.stderr)
        self.assertIn('The mock failed it', p.stderr)

    def test_service_killed_when_it_is_asked_for_the_job(self):
        self.assertIn("'lp_new' is applied", self.ctl('apply', self.module('mock lp_new die-asked')).stdout)

    def test_service_killed_during_the_call(self):
        p = self.ctl('apply', self.module('mock lp_new vanish'), code=1)
        self.assertIn('livepatchd stopped before it answered', p.stderr)

    def test_interrupt_stops_waiting_only(self):
        p = self.start('apply', self.module('mock lp_new slow'))
        time.sleep(1.5)
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=TIMEOUT)
        self.assertEqual(p.returncode, -signal.SIGINT)
        self.assertIn('the job goes on', err)
        self.assertIn('livepatchctl cancel lp_new', err)
        self.assertEqual(self.json('status')['jobs'][0]['state'], 'running')
        self.assertEqual(self.calls('Cancel'), [])


class Changing(CtlTest):
    def test_stage(self):
        p = self.ctl('stage', self.module('mock lp_new done'))
        self.assertIn("Patch 'lp_new' is staged; 'livepatchctl apply lp_new' applies it.", p.stdout)
        self.assertEqual(self.calls('Stage')[0]['options'], {'reapply': False})

    def test_stage_reapply(self):
        self.assertIn('will be applied at boot', self.ctl('stage', '--reapply', self.module('mock lp_new done')).stdout)
        self.assertEqual(self.calls('Stage')[0]['options'], {'reapply': True})

    def test_stage_never_takes_a_name(self):
        self.assertIn('There is no file', self.ctl('stage', 'lp_cmdline', code=1, cwd='/').stderr)

    def test_revert(self):
        self.assertIn('will not be reapplied at boot; it stays staged', self.ctl('revert', 'lp_cmdline').stdout)
        self.assertEqual(self.calls('Patch.Revert')[0]['options'], {'runtime': False})

    def test_revert_runtime(self):
        self.assertIn('next boot has not changed', self.ctl('revert', '--runtime', 'lp_cmdline').stdout)
        self.assertEqual(self.calls('Patch.Revert')[0]['options'], {'runtime': True})

    def test_revert_of_what_is_not_applied_is_success(self):
        self.set_state([patch('lp_cmdline', State='staged')])
        self.assertIn('is not applied', self.ctl('revert', 'lp_cmdline').stdout)

    def test_revert_that_stalls(self):
        self.set_state(behaviours={'lp_cmdline': ('stalled', 'Stalled')})
        self.ctl('revert', 'lp_cmdline', code=6)

    def test_service_killed_while_reverting(self):
        self.set_state(behaviours={'lp_cmdline': ('die', '')})
        self.assertIn('is reverted', self.ctl('revert', 'lp_cmdline').stdout)

    def test_remove(self):
        self.assertIn('its file is gone', self.ctl('remove', 'lp_cmdline').stdout)
        self.ctl('remove', 'lp_cmdline', code=4)

    def test_enable_and_disable(self):
        self.ctl('disable', 'lp_cmdline')
        self.ctl('enable', 'lp_cmdline')
        self.assertEqual([c['reapply'] for c in self.calls('SetReapply')], [False, True])

    def test_enable_says_that_a_patch_is_quarantined(self):
        self.set_state([patch('lp_cmdline', State='quarantined')])
        self.assertIn('is quarantined: it is not loaded until', self.ctl('enable', 'lp_cmdline').stdout)
        self.assertEqual([c['reapply'] for c in self.calls('SetReapply')], [True])

    def test_unquarantine(self):
        self.set_state([patch('lp_cmdline', State='quarantined', QuarantineReason='It went down', QuarantinedBuilds=1),
                        patch('lp_uptime', QuarantinedBuilds=2)])
        self.assertNotIn('other build', self.ctl('show', 'lp_cmdline').stdout)
        self.assertIn('2 other builds of this name', self.ctl('show', 'lp_uptime').stdout)
        self.assertIn("Patch 'lp_cmdline' is not quarantined any more", self.ctl('unquarantine', 'lp_cmdline').stdout)
        self.assertIn('2 were', self.ctl('unquarantine', 'lp_uptime').stdout)
        self.ctl('unquarantine', 'lp_uptime', code=5)
        self.assertEqual([c['name'] for c in self.calls('ClearQuarantine')], ['lp_cmdline', 'lp_uptime'])

    def test_unknown_names(self):
        for verb in ('revert', 'remove', 'enable', 'disable'):
            self.ctl(verb, 'nothing', code=4)

    def test_reapply(self):
        self.assertIn('is applied', self.ctl('reapply').stdout)

    def test_reapply_that_fails(self):
        self.set_state(behaviours={'reapply': ('failed', 'Failed')})
        self.assertIn('The mock ended it as failed', self.ctl('reapply', code=1).stderr)

    def test_service_killed_while_reapplying(self):
        self.set_state(behaviours={'reapply': ('die', '')})
        self.assertIn('its result is not known', self.ctl('reapply', code=1).stderr)


class Trust(CtlTest):
    CERTIFICATE = {'subject': 'CN=Patch signing', 'issuer': 'CN=CA', 'fingerprint': '12' * 32, 'key': 'RSA 3072',
                   'skid': '', 'origin': 'admin', 'file': 'a.pem', 'not-before': 0, 'not-after': 1900000000000000,
                   'ca': False, 'revoked': False}

    def test_list(self):
        self.set_state(certificates=[self.CERTIFICATE, {**self.CERTIFICATE, 'revoked': True}])
        out = self.ctl('trust').stdout
        self.assertIn('CN=Patch signing', out)
        self.assertIn('2030-03-17', out)
        self.assertIn('revoked', out)
        self.assertEqual(self.json('trust', 'list')['certificates'][0]['not_after'], 1900000000000000)

    def test_empty_list_says_what_to_do(self):
        self.assertIn('trust add FILE', self.ctl('trust', 'list').stdout)

    def test_add(self):
        self.assertIn('is trusted', self.ctl('trust', 'add', self.module('certificate', 'a.pem')).stdout)
        self.assertIn('is trusted', self.ctl('trust', 'add', '-', input='certificate').stdout)

    def test_add_of_something_else(self):
        self.ctl('trust', 'add', self.module('mock', 'a.pem'), code=5)
        self.ctl('trust', 'add', '/nonexistent.pem', code=1)
        self.ctl('trust', 'add', '-', input='x' * 70000, code=5)

    def test_remove(self):
        self.ctl('trust', 'remove', '12345678')
        self.assertEqual(self.calls('RemoveTrust')[0]['fingerprint'], '12345678')
        self.ctl('trust', 'remove', '1', code=1)


class Monitor(CtlTest):
    def read_until(self, p, text):
        """The next lines, up to one with the text. What hangs is ended, and fails."""
        guard = threading.Timer(TIMEOUT, p.kill)
        guard.start()
        lines = []
        for line in p.stdout:
            lines.append(line)
            if text in line:
                break
        guard.cancel()
        self.assertIn(text, lines[-1] if lines else '')
        return lines

    def test_text(self):
        p = self.start('monitor', stderr=subprocess.PIPE, bufsize=1)
        p.stderr.readline()
        self.ctl('apply', self.module('mock lp_new done'))
        lines = ''.join(self.read_until(p, 'has ended: done'))
        for part in ('livepatchd has started', 'patch lp_new is new: staged', 'job 1 is new',
                     'patch lp_new: state=applying', 'tasks_pending='):
            self.assertIn(part, lines)
        # It outlives the service.
        self.ctl('apply', self.module('mock lp_other die'))
        self.read_until(p, 'livepatchd has stopped')
        self.read_until(p, 'livepatchd has started')
        self.ctl('remove', 'lp_other')
        self.read_until(p, 'patch lp_other is gone')
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=TIMEOUT)
        self.assertEqual(p.returncode, -signal.SIGINT)

    def test_json_is_one_document_a_line(self):
        p = self.start('monitor', '--json=pretty', bufsize=1)
        time.sleep(1)
        self.ctl('apply', self.module('mock lp_new done'))
        events = [json.loads(line) for line in self.read_until(p, 'job-removed')]
        self.assertTrue(all(e['schema'] == 1 and e['time'] > 0 for e in events))
        self.assertEqual(events[-1]['result'], 'done')
        self.assertEqual([e for e in events if e['event'] == 'patch-added'][0]['properties']['name'], 'lp_new')
        p.terminate()
        p.communicate(timeout=TIMEOUT)


class Terminal(CtlTest):
    def run_on_terminal(self, *args, code=0, env=None, **kwargs):
        """Everything that a terminal of 24 rows and 80 columns would get."""
        leader, follower = pty.openpty()
        p = subprocess.Popen([CTL, *args], env={**self.env, **(env or {})}, stdin=follower, stdout=follower,
                             stderr=follower, start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **kwargs)
        os.close(follower)
        out = b''
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:
                break
            if not data:
                break
            out += data
        os.close(leader)
        self.assertEqual(p.wait(TIMEOUT), code, out)
        return out.decode()

    def test_progress(self):
        out = self.run_on_terminal('apply', self.module('mock lp_new done'))
        self.assertIn('lp_new: applying, ', out)
        self.assertIn(' of 100 tasks switched', out)
        # The line is taken away again.
        self.assertIn("\r\x1b[K\x1b[0;32mPatch 'lp_new' is applied", out)

    def test_no_progress_when_quiet(self):
        self.assertEqual(self.run_on_terminal('-q', 'apply', self.module('mock lp_new done')), '')

    def test_columns_are_shortened_to_the_terminal(self):
        self.set_state([patch('lp_cmdline', State='failed', FailureReason='long ' * 40)])
        out = self.run_on_terminal('status', '--color=never', '--no-pager', env={'COLUMNS': '60'})
        rows = [line for line in out.splitlines() if line.startswith('  lp_cmdline')]
        self.assertLessEqual(len(rows[0]), 60)
        self.assertIn('\u2026', rows[0])
        self.assertIn('long ' * 40, self.run_on_terminal('status', '-l', '--no-pager', env={'COLUMNS': '60'}))

    def test_long_output_goes_through_the_pager(self):
        self.set_state([patch(f'lp_{i}') for i in range(40)])
        env = {'SYSTEMD_PAGER': f'tee {self.dir}/paged', 'SYSTEMD_PAGERSECURE': '0'}
        self.run_on_terminal('list', env=env)
        self.assertIn('lp_39', (self.dir / 'paged').read_text())
        (self.dir / 'paged').unlink()
        for args in (['list', '--no-pager'], ['list', '--json=short'], ['show', 'lp_1']):
            self.run_on_terminal(*args, env=env)
            self.assertFalse((self.dir / 'paged').exists())

    def test_pager_that_is_not_there(self):
        self.set_state([patch(f'lp_{i}') for i in range(40)])
        out = self.run_on_terminal('list', env={'SYSTEMD_PAGER': '/nonexistent/pager', 'SYSTEMD_PAGERSECURE': '0'})
        self.assertIn('lp_39', out)

    def agent_environment(self):
        agent = self.dir / 'bin/pkttyagent'
        agent.parent.mkdir()
        agent.write_text('#!/bin/sh\necho "$@" >>"$AGENT_LOG"\neval "exec $2>&-"\nexec sleep 60\n')
        agent.chmod(0o755)
        (self.dir / 'agent').touch()
        (self.dir / 'agent').chmod(0o666)
        return {'PATH': f'{agent.parent}:{self.env["PATH"]}', 'AGENT_LOG': f'{self.dir}/agent'}

    def as_nobody(self):
        if os.geteuid() != 0:
            return {}
        if not os.path.exists(CTL) or subprocess.run([CTL, '--version'], user=NOBODY, check=False, capture_output=True,
                                                     env=self.env).returncode != 0:
            self.skipTest('an ordinary user cannot run the build tree')
        return {'user': NOBODY}

    def test_agent_is_started_for_actions_only(self):
        who, env = self.as_nobody(), self.agent_environment()
        self.run_on_terminal('list', env=env, **who)
        self.run_on_terminal('disable', 'lp_cmdline', '--no-ask-password', env=env, **who)
        self.assertEqual((self.dir / 'agent').read_text(), '')
        self.run_on_terminal('disable', 'lp_cmdline', 'lp_cmdline', env=env, **who)
        lines = (self.dir / 'agent').read_text().splitlines()
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], r'^--notify-fd \d+ --fallback$')

    def test_agent_that_is_not_there(self):
        who = self.as_nobody()
        empty = self.dir / 'empty'
        empty.mkdir()
        self.run_on_terminal('disable', 'lp_cmdline', env={'PATH': str(empty)}, **who)


class Remote(CtlTest):
    """With --host= files are sent through ssh(1); here a stand-in that runs the command on this machine."""

    def setUp(self):
        super().setUp()
        ssh = self.dir / 'bin/ssh'
        ssh.parent.mkdir()
        ssh.write_text(f'#!/bin/sh\necho "$@" >>{self.dir}/ssh\n[ "$1" = -xT ] && [ "$2" = -- ] || exit 99\nshift 3\n'
                       f'if [ "$1" = livepatchctl ]; then shift; exec {CTL} "$@"; fi\nexec "$@"\n')
        ssh.chmod(0o755)
        journalctl = self.dir / 'bin/journalctl'
        journalctl.write_text('#!/bin/sh\necho journalctl "$@"\n')
        journalctl.chmod(0o755)
        self.env['PATH'] = f'{ssh.parent}:{self.env["PATH"]}'

    def test_apply_file(self):
        p = self.ctl('-H', 'root@there', 'apply', '--runtime', self.module('mock lp_new done'))
        self.assertIn('for this boot only', p.stdout)
        self.assertEqual((self.dir / 'ssh').read_text(), '-xT -- root@there livepatchctl apply --runtime -\n')

    def test_refusal_passes_through(self):
        p = self.ctl('-H', 'there', '--json=short', 'apply', self.module('mock lp_new refuse Unsigned'), code=5)
        self.assertEqual(json.loads(p.stdout)['results'][0]['error']['exit_code'], 5)

    def test_no_connection(self):
        (self.dir / 'bin/ssh').write_text('#!/bin/sh\necho "ssh: no route" >&2\nexit 255\n')
        for args in (['list'], ['status'], ['revert', 'x'], ['monitor']):
            p = self.ctl('-H', 'there', *args, code=1)
            self.assertIn("Failed to connect to 'there'", p.stderr)
            self.assertIn("'ssh there'", p.stderr)
        self.ctl('-H', 'there', 'apply', self.module('mock lp_new done'), code=1)
        self.ctl('-H', 'there', 'log', code=1)

    def test_no_ssh(self):
        (self.dir / 'bin/ssh').unlink()
        p = self.ctl('-H', 'there', 'stage', self.module('mock x done'), code=1, env={'PATH': str(self.dir / 'bin')})
        self.assertIn('Failed to run ssh', p.stderr)

    def test_one_file_at_a_time(self):
        a, b = self.module('mock a done', 'a.ko'), self.module('mock b done', 'b.ko')
        self.assertIn('one file at a time', self.ctl('-H', 'there', 'apply', a, b, code=2).stderr)
        self.assertFalse((self.dir / 'ssh').exists())

    def test_missing_file_is_noticed_here(self):
        self.ctl('-H', 'there', 'stage', '/nonexistent.ko', code=1)
        self.assertFalse((self.dir / 'ssh').exists())

    def test_trust_add(self):
        self.ctl('-H', 'there', 'trust', 'add', self.module('certificate', 'a.pem'))
        self.assertEqual(len(self.calls('AddTrust')), 1)

    def test_log(self):
        p = self.ctl('-H', 'there', 'log', '-n', '5')
        self.assertEqual(p.stdout, 'journalctl --no-pager --lines=5 --unit=livepatchd.service '
                                   '--unit=livepatch-reapply.service\n')

    def test_log_here(self):
        self.assertEqual(self.ctl('log', '-f', '--json=short', 'lp-cmdline').stdout,
                         'journalctl --output=json --follow _SYSTEMD_UNIT=livepatchd.service '
                         '_SYSTEMD_UNIT=livepatch-reapply.service LIVEPATCH_NAME=lp_cmdline\n')

    def test_log_of_an_impossible_name(self):
        self.assertEqual(self.ctl('-H', 'there', 'log', 'x;reboot', code=2).stdout, '')


if __name__ == '__main__':
    unittest.main(verbosity=2)
