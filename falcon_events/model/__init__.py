"""Types that the other folders exchange: events, outcomes, access rights, persons, reports, webhooks. No I/O."""
