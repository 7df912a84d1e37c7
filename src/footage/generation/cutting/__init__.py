"""The cutting room: real videos divided into shots, chosen from, joined, slowed down and changed."""
