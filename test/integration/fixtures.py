# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys, certificates and modules for the integration tests, made once a build directory."""

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE_DIR = os.environ.get('LIVEPATCH_SOURCE_DIR', os.path.dirname(os.path.dirname(HERE)))
BUILD_DIR = os.environ['LIVEPATCH_BUILD_DIR']
CACHE = os.path.join(BUILD_DIR, 'test/integration/fixtures')

RELEASE = '6.1.0-56-amd64'
MARKER = b'~Module signature appended~\n'

SIGNERS = {
    'good': ['-addext', 'keyUsage=digitalSignature', '-days', '30'],
    'stranger': ['-addext', 'keyUsage=digitalSignature', '-days', '30'],
    'tls': ['-addext', 'keyUsage=digitalSignature', '-addext', 'extendedKeyUsage=serverAuth', '-days', '30'],
}


def _publish(temporary, path):
    """Several test processes may make the same thing at once: the first wins, and all make the same."""
    try:
        os.rename(temporary, path)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)


def keys():
    """A directory with NAME.pem and NAME.key for each of SIGNERS."""
    path = os.path.join(CACHE, 'keys-1')
    if os.path.isdir(path):
        return path
    os.makedirs(CACHE, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=CACHE)
    for name, extra in SIGNERS.items():
        subprocess.run(['openssl', 'req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                        '-nodes', '-subj', f'/O=Integration/CN={name}', '-addext', 'basicConstraints=CA:FALSE',
                        '-keyout', f'{temporary}/{name}.key', '-out', f'{temporary}/{name}.pem', *extra],
                       check=True, capture_output=True)
    _publish(temporary, path)
    return path


def certificate(name):
    return os.path.join(keys(), name + '.pem')


def fingerprint(name):
    der = subprocess.run(['openssl', 'x509', '-in', certificate(name), '-outform', 'DER'], check=True,
                         capture_output=True).stdout
    return hashlib.sha256(der).hexdigest()


def build(name='lp_one', release=RELEASE, version='1', build=0, description='two functions', plain=False,
          replace=False):
    """An unsigned module, as bytes."""
    arguments = [f'-DFIXTURE_NAME="{name}"', f'-DFIXTURE_RELEASE="{release}"', f'-DFIXTURE_VERSION="{version}"',
                 f'-DFIXTURE_DESCRIPTION="{description}"', f'-DFIXTURE_BUILD="{build}"']
    if plain:
        arguments.append('-DFIXTURE_PLAIN')
    if replace:
        arguments.append('-DFIXTURE_REPLACE')
    digest = hashlib.sha256('\0'.join(arguments).encode()).hexdigest()[:16]
    path = os.path.join(CACHE, f'{name}-{digest}.ko')
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=CACHE)
        os.close(fd)
        subprocess.run([os.environ.get('CC', 'cc'), '-std=gnu11', '-O2', '-ffreestanding', '-fno-pic', '-fno-pie',
                        '-fno-common', '-fno-sanitize=all', '-I', f'{SOURCE_DIR}/test/unit/fixtures/elf', *arguments,
                        '-c', f'{HERE}/livepatch-fixture.c', '-o', temporary], check=True)
        os.rename(temporary, path)
    with open(path, 'rb') as f:
        return f.read()


def trailer(signature):
    """struct module_signature (include/linux/module_signature.h) and the marker."""
    return signature + struct.pack('>BBBBB3xI', 0, 0, 2, 0, 0, len(signature)) + MARKER


def sign(payload, signer='good', digest='sha256'):
    with tempfile.TemporaryDirectory() as directory:
        source, output = os.path.join(directory, 'in'), os.path.join(directory, 'out')
        with open(source, 'wb') as f:
            f.write(payload)
        subprocess.run(['openssl', 'cms', '-sign', '-binary', '-noattr', '-nocerts', '-md', digest, '-outform', 'DER',
                        '-signer', certificate(signer), '-inkey', os.path.join(keys(), signer + '.key'),
                        '-in', source, '-out', output], check=True, capture_output=True)
        with open(output, 'rb') as f:
            return payload + trailer(f.read())


def module(signer='good', **identity):
    """A module signed by one of SIGNERS."""
    return sign(build(**identity), signer)
