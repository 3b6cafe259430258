"""An invented shop: half a year of its visitors, with which `serve --demo` fills a store."""

from falcon_events.demo.fill import fill_demo as fill_demo
from falcon_events.demo.summary import DemoSummary as DemoSummary
