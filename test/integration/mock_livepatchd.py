#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for livepatchd, for tests of clients: the D-Bus interfaces without a kernel.

Its state is the JSON file $MOCK_STATE, so that it can be killed and started again like the real one. A "module" is a
text file 'mock NAME BEHAVIOUR [ERROR]', and a patch keeps the behaviour for the next time:

    done               the job ends well after a few steps of progress
    failed|stalled|canceled   the job ends so, with org.livepatch.Error.ERROR if given
    slow               the job never ends
    die                the service is killed in the middle of the job, and the patch is applied when it comes back
    die-failed         the same, and the patch has failed
    die-asked          the same as die, as soon as somebody asks for the job
    refuse             the call is refused with org.livepatch.Error.ERROR
    denied, interactive   the call is refused for want of authorisation
    vanish             the service is killed instead of answering

Every call is appended to $MOCK_LOG as a line of JSON.
"""

import hashlib
import json
import os
import signal
import sys
import time

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

BUS_NAME = 'org.livepatch'
ROOT = '/org/livepatch'
MANAGER = 'org.livepatch.Manager'
PATCH = 'org.livepatch.Patch'
JOB = 'org.livepatch.Job'
PROPERTIES = 'org.freedesktop.DBus.Properties'
FREEDESKTOP_ERROR = 'org.freedesktop.DBus.Error.'
RELEASE = '6.1.0-56-amd64'
STEP_MSEC = 30
STEPS = 3
JOB_OPTIONS = ['runtime', 'stall-timeout', 'on-stall']

# The types of what Python cannot tell by itself.
TYPES = {
    'StackOrder': dbus.UInt32, 'AppliedAt': dbus.UInt64, 'ConfirmBefore': dbus.UInt64, 'AppliedBy': dbus.UInt32,
    'QuarantinedBuilds': dbus.UInt32,
    'TasksTotal': dbus.UInt32, 'TasksPending': dbus.UInt32, 'Id': dbus.UInt32, 'Taint': dbus.UInt64,
    'Progress': dbus.Double,
    'CVEs': lambda v: dbus.Array(v, signature='s'),
    'Supersedes': lambda v: dbus.Array(v, signature='s'),
    'Problems': lambda v: dbus.Array(v, signature='s'),
    'Summary': lambda v: dbus.Dictionary({k: dbus.UInt32(n) for k, n in v.items()}, signature='su'),
    'Error': lambda v: dbus.Struct(v, signature='ss'),
    'Objects': lambda v: dbus.Array(
        [(o, loaded, dbus.Array([(f, dbus.UInt32(pos), patched) for f, pos, patched in functions], signature='(sub)'))
         for o, loaded, functions in v], signature='(sba(sub))'),
}


def typed(properties):
    return dbus.Dictionary({k: TYPES.get(k, lambda v: v)(v) for k, v in properties.items()}, signature='sv')


class Refused(dbus.DBusException):
    def __init__(self, name, text):
        super().__init__(text)
        self._dbus_error_name = name if '.' in name else f'org.livepatch.Error.{name}'


def log_call(method, **arguments):
    with open(os.environ['MOCK_LOG'], 'a', encoding='utf-8') as f:
        f.write(json.dumps({'method': method, **arguments}) + '\n')


def check_options(options, known):
    for key in options:
        if key not in known:
            raise Refused(FREEDESKTOP_ERROR + 'InvalidArgs', f'Unknown option {key}')
    return {str(k): plain(v) for k, v in options.items()}


def plain(value):
    if isinstance(value, dbus.Boolean):
        return bool(value)
    return int(value) if isinstance(value, dbus.UInt64) else str(value)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Properties(dbus.service.Object):
    """An object with one interface of our own, whose properties are a dictionary."""

    def __init__(self, bus, path, interface, properties):
        super().__init__(bus, path)
        self.path, self.interface, self.properties = path, interface, properties

    @dbus.service.method(PROPERTIES, in_signature='s', out_signature='a{sv}')
    def GetAll(self, interface):
        if interface != self.interface:
            raise Refused(FREEDESKTOP_ERROR + 'UnknownInterface', interface)
        return typed(self.properties)

    @dbus.service.signal(PROPERTIES, signature='sa{sv}as')
    def PropertiesChanged(self, interface, changed, invalidated):
        pass

    def change(self, **changed):
        self.properties.update(changed)
        self.PropertiesChanged(self.interface, typed(changed), dbus.Array([], signature='s'))


class Job(Properties):
    def __init__(self, manager, number, kind, patch, behaviour, error):
        super().__init__(manager.bus, f'{ROOT}/job/{number}', JOB, {
            'Id': number, 'Type': kind, 'Patch': patch, 'State': 'queued', 'Progress': 0.0, 'TasksTotal': 0,
            'TasksPending': 0, 'Stalled': False, 'Result': '', 'Error': ('', '')})
        self.manager, self.behaviour, self.error, self.steps = manager, behaviour, error, 0
        GLib.timeout_add(STEP_MSEC, self.step)

    @dbus.service.method(PROPERTIES, in_signature='s', out_signature='a{sv}')
    def GetAll(self, interface):
        if self.behaviour == 'die-asked':
            self.manager.settle(self, 'done')
            die()
        return super().GetAll(interface)

    def step(self):
        if self.properties['State'] == 'finished' or self.behaviour == 'die-asked':
            return False
        self.steps = min(self.steps + 1, STEPS - 1 if self.behaviour == 'slow' else STEPS)
        self.change(State='running', TasksTotal=100, TasksPending=100 - 100 * self.steps // STEPS,
                    Progress=self.steps / STEPS)
        if self.steps < STEPS:
            return True
        if self.behaviour.startswith('die'):
            self.manager.settle(self, 'done' if self.behaviour == 'die' else 'failed')
            self.manager.save()
            die()
        self.finish(self.behaviour)
        return False

    def finish(self, result):
        error = ('', '') if result == 'done' or not self.error else (
            f'org.livepatch.Error.{self.error}', f'The mock ended it as {result}')
        self.change(State='finished', Result=result, Error=error)
        self.manager.settle(self, result)
        self.manager.JobRemoved(self.properties['Id'], self.path, result)

    @dbus.service.method(JOB)
    def Cancel(self):
        log_call('Cancel', job=self.path)
        self.finish('canceled')


class Patch(Properties):
    def __init__(self, manager, properties):
        super().__init__(manager.bus, f'{ROOT}/patch/{properties["Name"].replace("_", "_5f")}', PATCH, properties)
        self.manager = manager

    def start_job(self, kind, options):
        log_call('Patch.' + kind.capitalize(), name=self.properties['Name'],
                 options=check_options(options, JOB_OPTIONS + ['confirm-within'] * (kind == 'apply')))
        return self.manager.start_job(kind, self, options)

    @dbus.service.method(PATCH, in_signature='a{sv}', out_signature='o')
    def Apply(self, options):
        if self.properties['State'] == 'applied':
            raise Refused('AlreadyApplied', f'Patch {self.properties["Name"]} is applied already')
        return self.start_job('apply', options)

    @dbus.service.method(PATCH, in_signature='a{sv}', out_signature='o')
    def Revert(self, options):
        if self.properties['State'] != 'applied':
            raise Refused('NotApplied', f'Patch {self.properties["Name"]} is not applied')
        return self.start_job('revert', options)

    @dbus.service.method(PATCH, in_signature='a{sv}', out_signature='o')
    def Rollback(self, options):
        if not self.properties['Supersedes']:
            raise Refused('Conflict', f'There is no level before {self.properties["Name"]}')
        return self.start_job('rollback', options)

    @dbus.service.method(PATCH, in_signature='a{sv}')
    def Remove(self, options):
        log_call('Remove', name=self.properties['Name'], options=check_options(options, []))
        self.manager.forget(self)

    @dbus.service.method(PATCH, in_signature='a{sv}')
    def Force(self, options):
        log_call('Force', name=self.properties['Name'], options=check_options(options, []))
        if self.properties['State'] not in ('applying', 'reverting'):
            raise Refused('NotInTransition', f'Patch {self.properties["Name"]} is not in transition')

    @dbus.service.method(PATCH)
    def ClearQuarantine(self):
        if self.properties['State'] != 'quarantined' and not self.properties['QuarantinedBuilds']:
            raise Refused('Conflict', f'Patch {self.properties["Name"]} is not quarantined')
        log_call('ClearQuarantine', name=self.properties['Name'])
        quarantined = self.properties['State'] == 'quarantined'
        self.change(QuarantineReason='', QuarantinedBuilds=0, **({'State': 'staged'} if quarantined else {}))
        self.manager.save()

    @dbus.service.method(PATCH)
    def Adopt(self):
        if self.properties['State'] != 'external':
            raise Refused('AlreadyApplied', f'livepatchd manages {self.properties["Name"]} already')
        log_call('Adopt', name=self.properties['Name'])
        self.change(State='applied', Reapply=True)
        self.manager.save()

    @dbus.service.method(PATCH, in_signature='b')
    def SetReapply(self, reapply):
        log_call('SetReapply', name=self.properties['Name'], reapply=bool(reapply))
        self.change(Reapply=bool(reapply))
        self.manager.save()


class Manager(Properties):
    def __init__(self, bus):
        with open(os.environ['MOCK_STATE'], encoding='utf-8') as f:
            self.state = json.load(f)
        super().__init__(bus, ROOT, MANAGER, self.state['manager'])
        self.bus, self.jobs = bus, []
        self.patches = {p['Name']: Patch(self, p) for p in self.state['patches']}

    @dbus.service.method(MANAGER)
    def Subscribe(self):
        log_call('Subscribe')

    @dbus.service.method(MANAGER)
    def Unsubscribe(self):
        log_call('Unsubscribe')

    def save(self):
        self.state['patches'] = [p.properties for p in self.patches.values()]
        with open(os.environ['MOCK_STATE'], 'w', encoding='utf-8') as f:
            json.dump(self.state, f)

    def behave(self, behaviour, error):
        if behaviour == 'refuse':
            raise Refused(error, f'The mock refuses: {error}')
        if behaviour == 'denied':
            raise Refused(FREEDESKTOP_ERROR + 'AccessDenied', 'The mock denies it')
        if behaviour == 'interactive':
            raise Refused(FREEDESKTOP_ERROR + 'InteractiveAuthorizationRequired', 'The mock wants a password')
        if behaviour == 'vanish':
            die()

    def start_job(self, kind, patch, options):
        behaviour, error = 'done', ''
        if patch:
            behaviour, error = self.state['behaviours'].get(patch.properties['Name'], ('done', ''))
            self.behave(behaviour, error)
            patch.change(State='applying' if kind == 'apply' else 'reverting')
            if 'confirm-within' in options:
                patch.change(Unconfirmed=True, ConfirmBefore=int(time.time() * 1e6) + int(options['confirm-within']))
            elif not options.get('runtime', False):
                patch.change(Reapply=kind == 'apply')
        elif 'reapply' in self.state['behaviours']:
            behaviour, error = self.state['behaviours']['reapply']
        job = Job(self, len(self.jobs) + 1, kind, patch.properties['Name'] if patch else '', behaviour, error)
        self.jobs.append(job)
        self.InterfacesAdded(job.path, {JOB: typed(job.properties)})
        self.JobNew(job.properties['Id'], job.path)
        return dbus.ObjectPath(job.path)

    def settle(self, job, result):
        patch = self.patches.get(job.properties['Patch'])
        if not patch:
            return
        if result == 'failed':
            patch.change(State='failed', FailureReason='The mock failed it')
        elif result == 'done':
            patch.change(State='applied' if job.properties['Type'] == 'apply' else 'staged')
        self.save()

    def forget(self, patch):
        del self.patches[patch.properties['Name']]
        patch.remove_from_connection()
        self.InterfacesRemoved(patch.path, [PATCH])
        self.save()

    def take_module(self, fd):
        with os.fdopen(fd.take(), 'rb') as f:
            data = os.pread(f.fileno(), 4096, 0)
        words = data.decode('utf-8', 'replace').split()
        if not words or words[0] != 'mock':
            raise Refused('MalformedModule', 'The mock takes only mock modules')
        name, behaviour, error = words[1], words[2], words[3] if len(words) > 3 else ''
        self.behave(behaviour, error)
        self.state['behaviours'][name] = (behaviour, error)
        if name not in self.patches:
            self.patches[name] = Patch(self, {
                'Name': name, 'KernelRelease': RELEASE, 'State': 'staged', 'Reapply': False, 'Drift': '',
                'SignatureStatus': 'trusted', 'Signer': 'CN=Mock', 'FailureReason': '', 'QuarantineReason': '',
                'QuarantinedBuilds': 0, 'Supersedes': [], 'SupersededBy': '',
                'Sha256': hashlib.sha256(data).hexdigest(), 'ModuleVersion': '1', 'Description': 'A mock'})
            self.InterfacesAdded(self.patches[name].path, {PATCH: typed(self.patches[name].properties)})
        return self.patches[name]

    @dbus.service.method(MANAGER, in_signature='ha{sv}', out_signature='o')
    def Apply(self, module, options):
        patch = self.take_module(module)
        log_call('Apply', name=patch.properties['Name'],
                 options=check_options(options, JOB_OPTIONS + ['confirm-within']))
        if patch.properties['State'] == 'applied':
            raise Refused('AlreadyApplied', f'Patch {patch.properties["Name"]} is applied already')
        return self.start_job('apply', patch, options)

    @dbus.service.method(MANAGER, in_signature='ha{sv}', out_signature='o')
    def Stage(self, module, options):
        patch = self.take_module(module)
        log_call('Stage', name=patch.properties['Name'], options=check_options(options, ['reapply']))
        patch.change(Reapply=bool(options.get('reapply', False)))
        self.save()
        return dbus.ObjectPath(patch.path)

    @dbus.service.method(MANAGER, in_signature='asa{sv}', out_signature='aa{sv}')
    def Plan(self, names, options):
        log_call('Plan', names=[str(n) for n in names], options=check_options(options, []))
        for name in names:
            if name not in self.patches:
                raise Refused('NoSuchPatch', f"There is no patch '{name}'")
        return [dbus.Dictionary({**step, 'findings': dbus.Array(
            [dbus.Dictionary(f, signature='sv') for f in step['findings']], signature='a{sv}')}, signature='sv')
            for step in self.state.get('steps', [])] or dbus.Array([], signature='a{sv}')

    @dbus.service.method(MANAGER, in_signature='s', out_signature='o')
    def GetPatch(self, name):
        if name not in self.patches:
            raise Refused('NoSuchPatch', f"There is no patch '{name}'")
        return dbus.ObjectPath(self.patches[name].path)

    @dbus.service.method(MANAGER, out_signature='aa{sv}')
    def ListPatches(self):
        log_call('ListPatches')
        return [typed({**p.properties, 'Path': dbus.ObjectPath(p.path)}) for p in self.patches.values()]

    @dbus.service.method(MANAGER, out_signature='ao')
    def ListJobs(self):
        return [dbus.ObjectPath(j.path) for j in self.jobs]

    @dbus.service.method(MANAGER, out_signature='o')
    def Reapply(self):
        return self.start_job('reapply', None, {})

    @dbus.service.method(MANAGER, in_signature='s')
    def Confirm(self, name):
        if name not in self.patches:
            raise Refused('NoSuchPatch', f"There is no patch '{name}'")
        log_call('Confirm', name=str(name))
        patch = self.patches[name]
        if patch.properties['FailureReason']:
            raise Refused('NotConfirmed', f"It is too late to confirm '{name}'")
        if not patch.properties.get('Unconfirmed'):
            raise Refused('AlreadyApplied', f"'{name}' is applied and needs no confirmation")
        patch.change(Unconfirmed=False, ConfirmBefore=0, Reapply=True)
        self.save()

    @dbus.service.method(MANAGER, in_signature='h', out_signature='s')
    def AddTrust(self, certificate):
        with os.fdopen(certificate.take(), 'rb') as f:
            data = os.pread(f.fileno(), 65536, 0)
        if not data.startswith(b'certificate'):
            raise Refused('InvalidCertificate', 'The mock takes only mock certificates')
        log_call('AddTrust')
        return hashlib.sha256(data).hexdigest()

    @dbus.service.method(MANAGER, in_signature='s')
    def RemoveTrust(self, fingerprint):
        if len(fingerprint) < 8:
            raise Refused('NoSuchCertificate', f"There is no certificate '{fingerprint}'")
        log_call('RemoveTrust', fingerprint=str(fingerprint))

    @dbus.service.method(MANAGER, out_signature='aa{sv}')
    def ListTrust(self):
        return [dbus.Dictionary({
            **c, 'not-before': dbus.UInt64(c['not-before']), 'not-after': dbus.UInt64(c['not-after'])}, signature='sv')
            for c in self.state['certificates']] or dbus.Array([], signature='a{sv}')

    @dbus.service.signal(MANAGER, signature='uo')
    def JobNew(self, number, job):
        pass

    @dbus.service.signal(MANAGER, signature='uos')
    def JobRemoved(self, number, job, result):
        pass

    @dbus.service.signal('org.freedesktop.DBus.ObjectManager', signature='oa{sa{sv}}')
    def InterfacesAdded(self, path, interfaces):
        pass

    @dbus.service.signal('org.freedesktop.DBus.ObjectManager', signature='oas')
    def InterfacesRemoved(self, path, interfaces):
        pass


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    # The objects before the name: whoever was waiting for the name asks at once.
    manager = Manager(bus)
    name = dbus.service.BusName(BUS_NAME, bus, do_not_queue=True)
    assert manager and name
    GLib.MainLoop().run()
    return 0


if __name__ == '__main__':
    sys.exit(main())
