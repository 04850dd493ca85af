# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private bus with the project's own policy, a fake kernel below a temporary root, and the daemon in between."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from gi.repository import Gio, GLib

import fixtures

SOURCE_DIR = fixtures.SOURCE_DIR
BUILD_DIR = fixtures.BUILD_DIR
DAEMON = os.environ.get('LIVEPATCHD_MOCK', os.path.join(BUILD_DIR, 'test/integration/livepatchd-mock'))
FAKE_KERNELD = os.environ.get('FAKE_KERNELD', os.path.join(BUILD_DIR, 'test/mock/fake-kerneld'))
HERE = os.path.dirname(os.path.abspath(__file__))

NAME = 'org.livepatch'
ROOT_PATH = '/org/livepatch'
MANAGER = 'org.livepatch.Manager'
PATCH = 'org.livepatch.Patch'
JOB = 'org.livepatch.Job'
PROPERTIES = 'org.freedesktop.DBus.Properties'
OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager'
ERROR = 'org.livepatch.Error.'
FREEDESKTOP_ERROR = 'org.freedesktop.DBus.Error.'

# Generous: two processors shared with everything else, and sanitizers.
TIMEOUT = 60

SANITIZER = re.compile(r'(ERROR|WARNING): \w*Sanitizer|runtime error:|LeakSanitizer')

BUS_CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{directory}/services</servicedir>
  <!-- As few as will do: sd-bus gives a connection up when one of its rules is refused. -->
  <limit name="max_match_rules_per_connection">24</limit>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.systemd1"/>
  </policy>
  <policy user="{user}">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.freedesktop.systemd1"/>
    {own}
  </policy>
  <include>{policy}</include>
</busconfig>
'''

# An ordinary user has no policy of root's to try the daemon with.
OWN_POLICY = '<allow own="org.livepatch"/><allow send_destination="org.livepatch"/>'


class CallError(Exception):
    def __init__(self, name, text):
        super().__init__(f'{name}: {text}')
        self.name = name
        self.text = text


def wait_until(condition, what, timeout=TIMEOUT, context=None):
    """Polls, and lets signals come in meanwhile."""
    context = context or GLib.MainContext.default()
    deadline = time.monotonic() + timeout
    while True:
        while context.iteration(False):
            pass
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'timed out waiting until {what}')
        time.sleep(0.005)


class Client:
    """One connection to the bus."""

    def __init__(self, address):
        self.connection = Gio.DBusConnection.new_for_address_sync(
            address,
            Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.connection.set_exit_on_close(False)
        self.signals = []
        self.connection.signal_subscribe(None, None, None, None, None, Gio.DBusSignalFlags.NONE, self._on_signal)

    def watch(self):
        """Receives the daemon's signals from here on."""
        self.call_bus('AddMatch', GLib.Variant('(s)', (f"type='signal',sender='{NAME}'",)))

    def close(self):
        self.connection.close_sync(None)

    def _on_signal(self, _connection, _sender, path, interface, member, parameters):
        if path.startswith(ROOT_PATH):
            self.signals.append((path, interface, member, parameters.unpack()))

    def call_bus(self, member, arguments=None):
        return self._call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', member, arguments)

    def _call(self, name, path, interface, member, arguments=None, fds=None, timeout=TIMEOUT):
        fd_list = Gio.UnixFDList.new()
        for fd in fds or []:
            fd_list.append(fd)
        try:
            reply, _ = self.connection.call_with_unix_fd_list_sync(
                name, path, interface, member, arguments, None, Gio.DBusCallFlags.NONE, timeout * 1000,
                fd_list if fds else None, None)
        except GLib.Error as e:
            remote = Gio.DBusError.get_remote_error(e)
            if not remote:
                raise
            raise CallError(remote, e.message.removeprefix(f'GDBus.Error:{remote}: ')) from None
        values = reply.unpack()
        return values[0] if len(values) == 1 else values if values else None

    def call(self, path, interface, member, signature='()', *arguments, fds=None, timeout=TIMEOUT):
        return self._call(NAME, path, interface, member, GLib.Variant(signature, arguments), fds, timeout)

    def begin(self, path, interface, member, signature='()', *arguments, fds=None):
        """Sends the call and returns an object whose .done tells whether it was answered."""
        return PendingCall(self, path, interface, member, GLib.Variant(signature, arguments), fds)

    def manager(self, member, signature='()', *arguments, fds=None):
        return self.call(ROOT_PATH, MANAGER, member, signature, *arguments, fds=fds)

    def get(self, path, interface, name):
        return self.call(path, PROPERTIES, 'Get', '(ss)', interface, name)

    def get_all(self, path, interface):
        return self.call(path, PROPERTIES, 'GetAll', '(s)', interface)

    def with_file(self, member, data, **options):
        values = {key: GLib.Variant('b', value) for key, value in options.items()}
        with memory_file(data) as f:
            return self.manager(member, '(ha{sv})', 0, values, fds=[f.fileno()])

    def apply(self, data, **options):
        return self.with_file('Apply', data, **options)

    def stage(self, data, **options):
        return self.with_file('Stage', data, **options)

    def inspect(self, data):
        return self.with_file('Inspect', data)

    def patch(self, path, member, signature='(a{sv})', *arguments):
        return self.call(path, PATCH, member, signature, *(arguments or ({},)))

    def state(self, path):
        return self.get(path, PATCH, 'State')

    def wait_state(self, path, state):
        wait_until(lambda: self.state(path) == state, f'{path} is {state}')

    def wait_job(self, job):
        """The job's properties when it has ended."""
        wait_until(lambda: self.get(job, JOB, 'State') == 'finished', f'{job} has finished')
        return self.get_all(job, JOB)

    def apply_and_wait(self, data, **options):
        job = self.wait_job(self.apply(data, **options))
        assert job['Result'] == 'done', job
        return self.manager('GetPatch', '(s)', job['Patch'])

    def signals_of(self, member):
        return [s for s in self.signals if s[2] == member]


class PendingCall:
    def __init__(self, client, path, interface, member, arguments, fds):
        self.done = False
        self.error = None
        self.value = None
        fd_list = Gio.UnixFDList.new()
        for fd in fds or []:
            fd_list.append(fd)
        client.connection.call_with_unix_fd_list(NAME, path, interface, member, arguments, None,
                                                 Gio.DBusCallFlags.NONE, 600 * 1000, fd_list if fds else None, None,
                                                 self._on_reply)

    def _on_reply(self, connection, result):
        self.done = True
        try:
            values = connection.call_with_unix_fd_list_finish(result)[0].unpack()
            self.value = values[0] if len(values) == 1 else values
        except GLib.Error as e:
            self.error = Gio.DBusError.get_remote_error(e) or str(e)

    def wait(self):
        wait_until(lambda: self.done, 'the call is answered')
        return self


def memory_file(data):
    f = tempfile.TemporaryFile()
    f.write(data)
    f.flush()
    return f


class Process:
    """Something started by a test, with its standard error in a file."""

    def __init__(self, log, *command, env=None):
        self.log = log
        with open(log, 'ab') as f:
            self.process = subprocess.Popen(command, stderr=f, stdout=f, stdin=subprocess.DEVNULL, env=env)

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def text(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()


class IntegrationTest(unittest.TestCase):
    """setUp() starts bus and fake kernel; the daemon is started by start()."""

    config = ''
    start_daemon = True

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix='livepatch-test-')
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.root = os.path.join(self.directory, 'root')
        self.address = f'unix:path={self.directory}/bus'
        self.daemon = None
        self.n_daemons = 0
        self.clients = []
        self._make_root()
        self._start_bus()
        self.addCleanup(self._stop)
        self.start_kernel()
        self.client = self.new_client() if not self.start_daemon else None
        if self.start_daemon:
            self.start()

    def _make_root(self):
        os.mkdir(self.root)
        subprocess.run([FAKE_KERNELD, 'create', self.root, fixtures.RELEASE], check=True)
        for path in ['etc/livepatch/trusted.d', 'ctl', 'var/lib', 'run', f'usr/lib/modules/{fixtures.RELEASE}']:
            os.makedirs(os.path.join(self.root, path), exist_ok=True)
        shutil.copy(fixtures.certificate('good'), os.path.join(self.root, 'etc/livepatch/trusted.d/good.pem'))
        self.write('etc/livepatch/livepatch.conf', '[Livepatch]\n' + self.config)

    def _start_bus(self):
        os.mkdir(os.path.join(self.directory, 'services'))
        config = os.path.join(self.directory, 'bus.conf')
        with open(config, 'w', encoding='utf-8') as f:
            f.write(BUS_CONFIG.format(directory=self.directory, user=os.geteuid(),
                                      own=OWN_POLICY if os.geteuid() != 0 else '',
                                      policy=f'{SOURCE_DIR}/dbus/org.livepatch.conf'))
        self.bus = Process(os.path.join(self.directory, 'bus.log'), 'dbus-daemon', '--nofork', '--nopidfile',
                           f'--config-file={config}', env=self.environment())
        wait_until(self._bus_answers, 'the bus is there')

    def _bus_answers(self):
        try:
            Client(self.address).close()
        except GLib.Error:
            return False
        return True

    def environment(self):
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address)
        for name in ['NOTIFY_SOCKET', 'JOURNAL_STREAM', 'WATCHDOG_USEC']:
            env.pop(name, None)
        return env

    def start_kernel(self):
        self.kernel = Process(os.path.join(self.directory, 'kernel.log'), FAKE_KERNELD, 'run', self.root)

    def start(self, wait=True, wrapper=(), **env):
        """Starts the daemon, and makes self.client if there is none yet. wrapper: a command that runs the one behind
        it, in the same process."""
        self.n_daemons += 1
        self.daemon = Process(os.path.join(self.directory, f'daemon-{self.n_daemons}.log'), *wrapper, DAEMON,
                              f'--root={self.root}', env=dict(self.environment(), **env))
        if not self.clients:
            self.client = self.new_client()
        if wait:
            self.wait_owned()

    def wait_owned(self):
        daemon = self.daemon

        def owned():
            if daemon and daemon.process.poll() is not None:
                raise AssertionError('the daemon ended:\n' + daemon.text())
            return self.client.call_bus('NameHasOwner', GLib.Variant('(s)', (NAME,)))
        wait_until(owned, f'{NAME} is on the bus')

    def wait_unowned(self):
        wait_until(lambda: not self.client.call_bus('NameHasOwner', GLib.Variant('(s)', (NAME,))),
                   f'{NAME} is off the bus')

    def stop_daemon(self, number=signal.SIGTERM):
        """Ends the daemon; by SIGTERM it has to end well."""
        status = self.daemon.kill(number)
        if number == signal.SIGTERM:
            self.assertEqual(status, 0, self.daemon.text())
        self.wait_unowned()

    def new_client(self):
        client = Client(self.address)
        client.watch()
        self.clients.append(client)
        return client

    def _stop(self):
        for client in self.clients:
            if not client.connection.is_closed():
                client.close()
        status = None
        if self.daemon and self.daemon.process.poll() is None:
            status = self.daemon.kill(signal.SIGTERM)
        self.kernel.kill()
        self.bus.kill(signal.SIGTERM)
        for i in range(self.n_daemons):
            with open(os.path.join(self.directory, f'daemon-{i + 1}.log'), encoding='utf-8', errors='replace') as f:
                text = f.read()
            self.assertIsNone(SANITIZER.search(text), text)
        if status is not None:
            self.assertEqual(status, 0, self.daemon.text())

    # The root

    def path(self, path):
        return os.path.join(self.root, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), 'w', encoding='utf-8') as f:
            f.write(text)

    def read(self, path):
        with open(self.path(path), encoding='utf-8') as f:
            return f.read()

    def exists(self, path):
        return os.path.exists(self.path(path))

    def control(self, name, value):
        """A control file of the fake kernel (test/mock/README.md); None takes it away."""
        if value is None:
            os.unlink(self.path('ctl/' + name))
        else:
            temporary = self.path('ctl/.' + name)
            self.write('ctl/.' + name, str(value) + '\n')
            os.rename(temporary, self.path('ctl/' + name))

    def inserted(self):
        """Names of the modules that were handed to the kernel, in order."""
        if not self.exists('ctl/inserted'):
            return []
        return [line.split()[0] for line in self.read('ctl/inserted').splitlines()]

    def kernel_tool(self, *arguments):
        subprocess.run([FAKE_KERNELD, *arguments], check=True)

    def stored(self):
        """Files of the store, for comparing."""
        found = []
        for directory, _, files in os.walk(self.path('var/lib/livepatch')):
            found += [os.path.relpath(os.path.join(directory, f), self.path('var/lib/livepatch')) for f in files]
        return sorted(found)

    # Checks

    def assert_error(self, name, function, *arguments, **keywords):
        """The call fails with this error, whose text is a sentence; returns the text."""
        if '.' not in name:
            name = ERROR + name
        with self.assertRaises(CallError) as caught:
            function(*arguments, **keywords)
        self.assertEqual(caught.exception.name, name, caught.exception.text)
        self.assertGreater(len(caught.exception.text), 10)
        self.assertNotIn('\n', caught.exception.text)
        return caught.exception.text

    def wait_signal(self, member, client=None, path=None, count=1):
        client = client or self.client

        def found():
            matching = [s for s in client.signals_of(member) if path is None or s[0] == path]
            return matching if len(matching) >= count else None
        return wait_until(found, f'{member} is received')

    # Others

    def run_as(self, uid, member, signature='()', *arguments, path=ROOT_PATH, interface=MANAGER, files=(),
               interactive=False, name=NAME):
        """The answer of a call made by another user: {'value': ...} or {'error': ..., 'text': ...}."""
        process = self.begin_as(uid, member, signature, *arguments, path=path, interface=interface, files=files,
                                interactive=interactive, name=name)
        output, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0, errors)
        return json.loads(output)

    def begin_as(self, uid, member, signature='()', *arguments, path=ROOT_PATH, interface=MANAGER, files=(),
                 interactive=False, name=NAME):
        if os.geteuid() != 0:
            self.skipTest('only root can try what another user may do')
        with open(os.path.join(HERE, 'client.py'), encoding='utf-8') as f:
            code = f.read()
        handles = [memory_file(data) for data in files]
        request = json.dumps({'address': self.address, 'name': name, 'path': path, 'interface': interface,
                              'member': member, 'signature': signature, 'arguments': arguments,
                              'fds': [f.fileno() for f in handles], 'interactive': interactive})
        process = subprocess.Popen(['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups',
                                    '/usr/bin/python3', '-c', code, request], pass_fds=[f.fileno() for f in handles],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd='/')
        for f in handles:
            f.close()
        return process

    def start_polkit(self, answer):
        self.polkit_script(answer)
        self.polkit_log = os.path.join(self.directory, 'polkit-calls')
        self.polkit = Process(os.path.join(self.directory, 'polkit.log'), '/usr/bin/python3',
                              os.path.join(HERE, 'mock_polkitd.py'), self.address,
                              os.path.join(self.directory, 'polkit-answer'), self.polkit_log)
        self.addCleanup(self.polkit.kill)
        wait_until(lambda: self.client.call_bus('NameHasOwner', GLib.Variant('(s)', ('org.freedesktop.PolicyKit1',))),
                   'polkit is on the bus')

    def polkit_script(self, answer):
        with open(os.path.join(self.directory, 'polkit-answer'), 'w', encoding='utf-8') as f:
            f.write(answer)

    def polkit_calls(self):
        if not os.path.exists(self.polkit_log):
            return []
        with open(self.polkit_log, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]


def main():
    unittest.main(verbosity=2)
