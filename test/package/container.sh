# The first process of a container in which a Debian boots: container.sh DEBIAN LAB OUT. unshare has made namespaces for it. DEBIAN is a tar of
# its root, LAB a folder that is put there at /lab, OUT one in which what it leaves in /run/out is found here. All that is mounted and unpacked
# is gone with the namespaces.
set -eu
debian=$1 lab=$2 out=$3 root=$4

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
tar x --numeric-owner -f "$debian" -C "$root"
cp -r "$lab" "$root/lab"
mv "$root/lab/lab.service" "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../lab.service "$root/etc/systemd/system/multi-user.target.wants/"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/out"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$out" "$root/run/out"

mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l /old
rmdir /old
exec env -i container=poolproxy PATH=/usr/bin:/bin:/usr/sbin:/sbin /lib/systemd/systemd --show-status=false
