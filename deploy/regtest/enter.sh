#!/bin/sh
# Runs one server inside a root folder, in a mount namespace of its own, with one folder of the host
# at /mnt. Everything is exec'd, so the server keeps the pid that started here, and the mounts vanish
# with it. ROOT may be `/`: then only the folder and, if asked, the user change.
#
# usage: unshare --mount --propagation private sh enter.sh ROOT FOLDER USER COMMAND [ARGUMENT]...
#        USER is a name of ROOT's passwd, or `-` to stay who we are
set -eu

root=$1 folder=$2 user=$3
shift 3

if [ "$root" != / ]; then
  mount --rbind /proc "$root/proc"
  mount --rbind /dev "$root/dev"
  # Nothing that a server leaves in /tmp or /run may outlive it or meet another network's.
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mount -t tmpfs -o mode=1777 tmpfs "$root/run"
fi
mount --bind "$folder" "${root%/}/mnt"

# Without these the server would run with the caller's HOME and language, which the root lacks.
unset HOME LANG LANGUAGE LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

cd /
if [ "$user" = - ]; then
  exec chroot "$root" "$@"
fi
exec chroot "--userspec=$user:$user" "$root" "$@"
