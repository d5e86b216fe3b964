"""Numbers about the appliance for Prometheus and for a collector that takes a POST.

`counters` counts joins, reconnects, chat lines and talk time from events and states,
and names the statistics that the audio path keeps about itself. `exposition` turns
both, and the memory and CPU of the process, into the text of `GET /metrics`; it is the
only one here that needs the package prometheus-client, which is imported at the first
request. `push` posts the join and leave counts. Start with `exposition`: it lists every
metric with its name, type and meaning.
"""
