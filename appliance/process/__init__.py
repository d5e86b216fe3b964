"""Services for every adapter and for the process as a whole.

`background` starts and cancels the tasks of an adapter. `fault_report` reports a part
that fails and recovers to the log and to the core. `logs` sends log lines to the
journal or to standard error, without secrets (`redaction`); `native_stderr` limits what
native libraries write there, and has the command of the small process that does so.
`systemd` sends readiness, status and watchdog signals. `settings_store` keeps volume
and microphone gain over restarts, and the identity if it is not that of the machine;
`state_files` says where and writes each file whole. `device_access` says who may use a
device file, and how to get access. Start with `background` and `fault_report`.
"""
