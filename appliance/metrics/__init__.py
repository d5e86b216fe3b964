"""Numbers about the appliance for Prometheus and for a collector that takes a POST.

`counters` counts joins, reconnects, chat lines and talk time from events and states.
`exposition` turns that, and what the audio path counts, into the text of
`GET /metrics`; it is imported at the first request, because prometheus-client is large.
`push` posts the join and leave counts. Start with `exposition`, which lists every
metric.
"""
