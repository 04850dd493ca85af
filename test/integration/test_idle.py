#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon leaves when nobody needs it, comes back when called, and loses nothing in between."""

import os
import pwd
import socket
import stat
import time

import fixtures
import harness

SERVICE = '''[D-BUS Service]
Name=org.livepatch
Exec={directory}/activate
User={user}
'''
ACTIVATE = '''#!/bin/sh
echo activated >>{directory}/activations
exec {daemon} --root={root} 2>>{directory}/activated.log
'''


class Idle(harness.IntegrationTest):
    config = 'ExitIdleSec=1s\n'

    def wait_exit(self):
        self.assertEqual(self.daemon.process.wait(harness.TIMEOUT), 0, self.daemon.text())

    def test_exits(self):
        self.wait_exit()
        self.wait_unowned()

    def test_calls_keep_it(self):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            self.client.manager('ListJobs')
            time.sleep(0.2)
        self.assertIsNone(self.daemon.process.poll())
        self.wait_exit()

    def test_a_monitor_does_not_keep_it(self):
        monitor = self.new_client()
        self.assertFalse(monitor.connection.is_closed())
        self.wait_exit()

    def test_a_subscriber_keeps_it(self):
        other = self.new_client()
        for _ in range(2):
            other.manager('Subscribe')
        self.client.manager('Subscribe')
        self.client.manager('Unsubscribe')
        self.client.manager('Unsubscribe')
        time.sleep(3)
        self.assertIsNone(self.daemon.process.poll())
        other.close()
        self.wait_exit()

    def test_unsubscribing_lets_it_go(self):
        self.client.manager('Subscribe')
        time.sleep(2)
        self.assertIsNone(self.daemon.process.poll())
        self.client.manager('Unsubscribe')
        self.wait_exit()

    def test_subscribers_of_a_user_are_counted(self):
        clients = [self.new_client() for _ in range(33)]
        for client in clients[:32]:
            client.manager('Subscribe')
        with self.assertRaises(harness.CallError) as caught:
            clients[32].manager('Subscribe')
        self.assertEqual(caught.exception.name, harness.ERROR + 'LimitsExceeded')
        clients[31].manager('Subscribe')
        clients[0].close()
        harness.wait_until(lambda: self.subscribes(clients[32]), 'a place is free')
        for client in clients[1:]:
            client.close()
        self.wait_exit()

    def subscribes(self, client):
        try:
            client.manager('Subscribe')
        except harness.CallError:
            return False
        return True

    def test_work_keeps_it(self):
        self.control('transition-ms', 'stall')
        job = self.client.apply(fixtures.module())
        time.sleep(3)
        self.assertIsNone(self.daemon.process.poll())
        self.control('transition-ms', 0)
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')

    def test_a_finished_job_stays_readable(self):
        job = self.client.apply(fixtures.module())
        self.client.wait_job(job)
        time.sleep(3)
        self.assertEqual(self.client.get(job, harness.JOB, 'Result'), 'done')

    def test_a_question_to_polkit_keeps_it(self):
        if os.geteuid() != 0:
            self.skipTest('only root can try what another user may do')
        self.start_polkit('never')
        waiting = self.begin_as(pwd.getpwnam('nobody').pw_uid, 'Reapply')
        harness.wait_until(self.polkit_calls, 'polkit is asked')
        time.sleep(3)
        self.assertIsNone(self.daemon.process.poll())
        waiting.kill()
        waiting.communicate()
        self.wait_exit()

    def test_tells_the_service_manager(self):
        self.wait_exit()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        path = os.path.join(self.directory, 'notify')
        listener.bind(path)
        listener.settimeout(harness.TIMEOUT)
        self.start(NOTIFY_SOCKET=path)
        self.client.stage(fixtures.module())
        self.wait_exit()
        text = ''
        while 'STOPPING=1' not in text:
            text += listener.recv(4096).decode() + '\n'
        self.assertLess(text.index('READY=1'), text.index('STOPPING=1'))
        self.assertIn('STATUS=0 of 1 known live patches applied', text)

    def test_watchdog_is_fed(self):
        self.wait_exit()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        path = os.path.join(self.directory, 'notify')
        listener.bind(path)
        listener.settimeout(harness.TIMEOUT)
        self.start(NOTIFY_SOCKET=path, WATCHDOG_USEC='200000')
        text = ''
        while text.count('WATCHDOG=1') < 2:
            text += listener.recv(4096).decode() + '\n'
        self.wait_exit()


class Activation(harness.IntegrationTest):
    config = 'ExitIdleSec=200ms\n'
    start_daemon = False

    def setUp(self):
        super().setUp()
        values = {'directory': self.directory, 'root': self.root, 'daemon': harness.DAEMON,
                  'user': pwd.getpwuid(os.geteuid()).pw_name}
        script = os.path.join(self.directory, 'activate')
        with open(script, 'w', encoding='utf-8') as f:
            f.write(ACTIVATE.format(**values))
        os.chmod(script, stat.S_IRWXU)
        with open(os.path.join(self.directory, 'services/org.livepatch.service'), 'w', encoding='utf-8') as f:
            f.write(SERVICE.format(**values))
        self.client.call_bus('ReloadConfig')

    def tearDown(self):
        self.wait_unowned()
        with open(os.path.join(self.directory, 'activated.log'), encoding='utf-8', errors='replace') as f:
            self.assertIsNone(harness.SANITIZER.search(f.read()))

    def activations(self):
        with open(os.path.join(self.directory, 'activations'), encoding='utf-8') as f:
            return len(f.readlines())

    def test_a_call_starts_it(self):
        path = self.client.stage(fixtures.module(), reapply=True)
        self.wait_unowned()
        self.assertEqual(self.client.state(path), 'staged')
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)
        self.assertGreaterEqual(self.activations(), 2)

    def test_no_call_is_lost(self):
        """Calls that meet the daemon while it leaves are answered all the same, by it or by the next one."""
        for i in range(30):
            self.assertEqual(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'KernelRelease'), fixtures.RELEASE)
            # A timer of sd-event's may be late by a quarter of a second, and a busy machine by more.
            time.sleep(0.19 + (i % 10) * 0.03)
        self.assertGreater(self.activations(), 1)


if __name__ == '__main__':
    harness.main()
