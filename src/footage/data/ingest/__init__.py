"""From folders of videos to a data set."""
