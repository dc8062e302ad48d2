"""A seed laid out as upstream writes it: block-style YAML, a new id at each boot, its own boot.sh.

Source: reference, runtime §6. The scripts are our own; only the layout is upstream's.
"""

import io

import pycdlib

BOOT_SH = """\
#!/bin/bash
set -eu
while read -r line; do export "$line"; done <"$LIMA_CIDATA_MNT"/lima.env
PATH="$LIMA_CIDATA_MNT/util:$PATH"
CODE=0
for f in "$LIMA_CIDATA_MNT"/boot.Linux/*; do bash "$f" || CODE=1; done
for f in "$LIMA_CIDATA_MNT"/provision.system/*; do "$f" || CODE=1; done
for f in "$LIMA_CIDATA_MNT"/provision.user/*; do
	cp "$f" "$LIMA_CIDATA_HOME/.lima-user-script"
	chown "$LIMA_CIDATA_USER" "$LIMA_CIDATA_HOME/.lima-user-script"
	chmod 755 "$LIMA_CIDATA_HOME/.lima-user-script"
	sudo -iu "$LIMA_CIDATA_USER" "$LIMA_CIDATA_HOME/.lima-user-script" || CODE=1
done
echo "$LIMA_CIDATA_IID" >/run/lima-boot-done
exit $CODE
"""
PER_BOOT = """\
      #!/bin/sh
      LIMA_CIDATA_MNT="/mnt/lima-cidata"
      LIMA_CIDATA_DEV="/dev/disk/by-label/cidata"
      mkdir -p -m 700 "${LIMA_CIDATA_MNT}"
      mount -o ro,mode=0700,dmode=0700,overriderockperm,exec,uid=0 "${LIMA_CIDATA_DEV}" "${LIMA_CIDATA_MNT}"
      export LIMA_CIDATA_MNT
      exec "${LIMA_CIDATA_MNT}"/boot.sh
"""


def user_data(*, user: str, uid: int, key: str) -> str:
    return f"""\
#cloud-config
# vim:syntax=yaml

growpart:
  mode: auto
  devices: ['/']

package_update: false
timezone: Asia/Tokyo

users:
  - name: "{user}"
    uid: "{uid}"
    gecos: "Jane Doe"
    homedir: "/home/{user}.guest"
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: true
    ssh-authorized-keys:
      - "{key}"

write_files:
  - content: |
{PER_BOOT}    owner: root:root
    path: /var/lib/cloud/scripts/per-boot/00-lima.boot.sh
    permissions: '0755'

bootcmd:
- |
  echo booted >/run/upstream-bootcmd-ran
"""


def files(*, name: str, user: str, uid: int, key: str, iid: str) -> dict[str, tuple[str, int]]:
    env = {
        "IID": iid, "NAME": name, "USER": user, "UID": str(uid), "HOME": f"/home/{user}.guest",
        "SLIRP_GATEWAY": "192.168.5.2", "MOUNTS": "0", "DISKS": "0", "VMTYPE": "qemu", "PLAIN": "",
    }  # fmt: skip
    network = "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: '52:55:55:12:34:56'\n    dhcp4: true\n    set-name: eth0\n"
    return {
        "meta-data": (f"instance-id: {iid}\nlocal-hostname: lima-{name}\n", 0o644),
        "user-data": (user_data(user=user, uid=uid, key=key), 0o644),
        "network-config": (network, 0o644),
        "lima.env": ("".join(f"LIMA_CIDATA_{key}={value}\n" for key, value in env.items()), 0o644),
        "param.env": ("", 0o644),
        "etc_environment": ("#LIMA-START\n#LIMA-END\n", 0o644),
        "boot.sh": (BOOT_SH, 0o755),
        "boot.Linux/07-etc-environment.sh": (f"#!/bin/bash\necho {iid} >/run/lima-ssh-ready\n", 0o755),
        "provision.system/00000000": ("#!/bin/bash\necho system >/run/upstream-system-ran\n", 0o755),
        "provision.user/00000001": ("#!/bin/bash\necho user >~/upstream-user-ran\n", 0o755),
    }


def write_upstream_seed(path: str, *, name: str, user: str, uid: int, key: str, iid: str) -> None:
    """An ISO with Rock Ridge and without Joliet, label cidata."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident="cidata")
    folders: dict[str, str] = {"": ""}
    for number, (file, (text, mode)) in enumerate(files(name=name, user=user, uid=uid, key=key, iid=iid).items()):
        folder, _, base = file.rpartition("/")
        if folder not in folders:
            folders[folder] = f"/D{number}"
            iso.add_directory(folders[folder], rr_name=folder)
        data = text.encode()
        iso.add_fp(
            io.BytesIO(data), len(data), f"{folders[folder]}/F{number}.;1", rr_name=base, file_mode=0o100000 | mode
        )
    iso.write(path)
    iso.close()
