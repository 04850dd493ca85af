#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The running daemon's introspection data against the XML files that are installed."""

import os
import xml.etree.ElementTree as ET

import fixtures
import harness

STANDARD = ('org.freedesktop.DBus.Peer', 'org.freedesktop.DBus.Introspectable', 'org.freedesktop.DBus.Properties',
            'org.freedesktop.DBus.ObjectManager')


def describe_argument(argument, default):
    return (argument.get('name'), argument.get('type'), argument.get('direction', default))


def describe(interface):
    """Everything of an interface that a client can rely on, comparable."""
    members = {}
    for member in interface:
        annotations = sorted((a.get('name'), a.get('value')) for a in member.findall('annotation'))
        default = 'in' if member.tag == 'method' else None
        members[(member.tag, member.get('name'))] = {
            'arguments': [describe_argument(a, default) for a in member.findall('arg')],
            'type': member.get('type'),
            'access': member.get('access'),
            'annotations': annotations,
        }
    return members


class Introspection(harness.IntegrationTest):
    def live(self, path):
        xml = self.client.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect')
        root = ET.fromstring(xml)
        return {i.get('name'): describe(i) for i in root.findall('interface')}, [n.get('name')
                                                                                for n in root.findall('node')]

    def installed(self, name):
        root = ET.parse(os.path.join(fixtures.SOURCE_DIR, 'dbus', name + '.xml')).getroot()
        interfaces = root.findall('interface')
        self.assertEqual([i.get('name') for i in interfaces], [name])
        return describe(interfaces[0])

    def compare(self, path, name):
        interfaces, _ = self.live(path)
        self.assertEqual(sorted(i for i in interfaces if i not in STANDARD), [name])
        live, installed = interfaces[name], self.installed(name)
        self.assertEqual(sorted(live), sorted(installed))
        for member, description in installed.items():
            self.assertEqual(live[member], description, member)

    def test_manager(self):
        self.compare(harness.ROOT_PATH, harness.MANAGER)

    def test_patch(self):
        self.compare(self.client.stage(fixtures.module()), harness.PATCH)

    def test_job(self):
        job = self.client.apply(fixtures.module())
        self.compare(job, harness.JOB)
        self.client.wait_job(job)

    def test_children_are_listed(self):
        self.client.apply_and_wait(fixtures.module())
        self.assertEqual(sorted(self.live(harness.ROOT_PATH)[1]), ['job', 'patch'])
        self.assertEqual(self.live(harness.ROOT_PATH + '/patch')[1], ['lp_5fone'])
        self.assertEqual(self.live(harness.ROOT_PATH + '/job')[1], ['1'])

    def test_list_has_every_property(self):
        self.client.stage(fixtures.module())
        names = {name for kind, name in self.installed(harness.PATCH) if kind == 'property'}
        self.assertEqual(set(self.client.manager('ListPatches')[0]), names | {'Path'})

    def test_every_property_can_be_read_by_itself(self):
        path = self.client.apply_and_wait(fixtures.module())
        for object_path, interface in [(path, harness.PATCH), (harness.ROOT_PATH, harness.MANAGER),
                                       (self.client.manager('ListJobs')[0], harness.JOB)]:
            together = self.client.get_all(object_path, interface)
            for name, value in together.items():
                self.assertEqual(self.client.get(object_path, interface, name), value, name)
            self.assertEqual(set(together), {n for k, n in self.installed(interface) if k == 'property'})


if __name__ == '__main__':
    harness.main()
