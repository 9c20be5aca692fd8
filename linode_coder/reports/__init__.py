"""What people look at: money and measurements, as data, as CSV and as pages that ask nobody for anything."""
