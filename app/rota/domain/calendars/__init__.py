"""Named calendars: days that several schedules leave out, as dates, iCalendar texts or holidays of a country."""
