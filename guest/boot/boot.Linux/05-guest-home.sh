#!/bin/sh
# Both names that a guest home has had are there, whichever the instance was made with.
set -eu
new=/home/$LIMA_CIDATA_USER.guest old=/home/$LIMA_CIDATA_USER.linux
if [ -d "$new" ] && [ ! -e "$old" ] && [ ! -h "$old" ]; then
	ln -s "$new" "$old"
elif [ -d "$old" ] && [ ! -e "$new" ] && [ ! -h "$new" ]; then
	ln -s "$old" "$new"
fi
