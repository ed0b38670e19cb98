"""Prometheus' client library for Python, whose parser of OpenMetrics is a strict one: it refuses what the standard does.

A job has `openmetrics` and `text`, the same figures in both formats. Both are told as a list of samples: name, labels as
a list of pairs, and value. The bound of a bucket, which the formats write differently, is a number.
"""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics


def told(families):
    samples = [sample for family in families for sample in family.samples]
    return sorted([sample.name, sorted(map(label, sample.labels.items())), float(sample.value)] for sample in samples)


def label(pair):
    name, value = pair
    return [name, repr(float(value)) if name == "le" else value]


asked = json.load(sys.stdin)
json.dump({
    "openmetrics": told(openmetrics.text_string_to_metric_families(asked["openmetrics"])),
    "text": told(parser.text_string_to_metric_families(asked["text"])),
}, sys.stdout)
