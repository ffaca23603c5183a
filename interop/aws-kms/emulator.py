"""An emulator of AWS KMS on a free port of 127.0.0.1: `emulator.py moto|localstack DIR`.

Says its address in one line on standard output, and ends when its standard input does:
nothing is left behind by whoever started it, however that ended.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

STARTS_IN_SECONDS = 110


def command(name, directory, port):
    if name == "moto":
        server = os.path.join(os.path.dirname(sys.executable), "moto_server")
        return [sys.executable, server, "-H", "127.0.0.1", "-p", str(port)], {}
    # Without hypercorn it would listen on every address of the machine.
    state = os.path.join(directory, "localstack-state")
    os.makedirs(state, exist_ok=True)
    return [sys.executable, "-m", "localstack.runtime.main"], {
        "GATEWAY_SERVER": "hypercorn",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "kms",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FILESYSTEM_ROOT": state,
    }


def main():
    name, directory = sys.argv[1:]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments, variables = command(name, directory, port)
    server = subprocess.Popen(
        arguments,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
    )

    def end(*_):
        server.kill()
        os._exit(0)

    def end_with_standard_input():
        while sys.stdin.buffer.read(4096):
            pass
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    url = f"http://127.0.0.1:{port}"
    started = time.monotonic()
    while time.monotonic() - started < STARTS_IN_SECONDS:
        if server.poll() is not None:
            sys.exit(f"{name} ended with {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.1)
    else:
        server.kill()
        sys.exit(f"{name} did not answer within {STARTS_IN_SECONDS} s")
    print(url, flush=True)
    status = server.wait()
    sys.exit(f"{name} ended with {status}")


main()
