"""Services for every adapter and for the process as a whole.

`background` starts and cancels the tasks of an adapter. `fault_report` reports a part
that fails and recovers to the log and to the core. `logs` sends log lines to the
journal or to standard error, without secrets. `systemd` sends readiness, status and
watchdog signals. `state_files` says where the state directory is and writes each file
of it whole; it keeps volume and microphone gain over restarts, and derives the identity
of the box from the machine. `device_access` says how to get access to a device file.
Start with `background` and `fault_report`.
"""
