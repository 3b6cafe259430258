"""Hooks: functions of the host application that get events before they are stored and after they are committed."""
