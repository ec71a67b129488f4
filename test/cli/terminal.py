"""Runs a command on a pseudo-terminal, several times, and ends it by a signal. Prints one JSON object a run.

python3 terminal.py SIGNAL RUNS MS COMMAND...

SIGNAL comes at a random moment of the MS milliseconds after the progress bar was first drawn; `none` sends nothing.
SIGINT is typed as Ctrl-C, so that it reaches every process of the terminal.
"""
import fcntl
import json
import os
import pty
import random
import select
import signal
import struct
import sys
import termios
import time

BAR = '░'.encode()


def run(name, ms, command):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in range(3):
            os.dup2(slave, descriptor)
        os.execvp(command[0], command)
    output, due, ended, status = b'', None, False, 0
    deadline = time.monotonic() + 60
    while True:
        if select.select([master], [], [], 0.002)[0]:
            output += os.read(master, 65536)
            if due is None and name != 'none' and BAR in output:
                due = time.monotonic() + random.random() * ms / 1000
        elif ended:
            break
        if not ended:
            waited, status = os.waitpid(pid, os.WNOHANG)
            ended = waited != 0
        if due is not None and time.monotonic() >= due and not ended:
            due = float('inf')
            if name == 'SIGINT':
                os.write(master, b'\x03')
            else:
                os.kill(pid, getattr(signal, name))
        if not ended and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
    after = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {
        'output': output.decode(errors='replace'),
        'same': before == after,
        'signal': signal.Signals(signal_number).name if signal_number else None,
        'code': os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
    }


for _ in range(int(sys.argv[2])):
    print(json.dumps(run(sys.argv[1], float(sys.argv[3]), sys.argv[4:])), flush=True)
