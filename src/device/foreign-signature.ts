/**
 * What else lies on a file or a block device that is to become a volume: signatures of file systems,
 * partition tables, RAID, encryption and the like, and else whether there is anything at all. Only
 * the ends are looked at, where all of them leave their marks.
 */

const mib = 2 ** 20

export interface ForeignContent {
  /** In words, behind "it has". */
  readonly found: string
}

interface Mark {
  readonly found: string
  readonly at: number
  readonly bytes: Buffer
}

const text = (bytes: string): Buffer => Buffer.from(bytes, 'latin1')
const hex = (bytes: string): Buffer => Buffer.from(bytes, 'hex')
const mark = (found: string, at: number, bytes: Buffer): Mark => ({ found, at, bytes })

const raid = 'the superblock of a Linux RAID'
const raidMagic = hex('fc4e2ba9')
const gpt = 'a GPT partition table'
const lvm = 'an LVM physical volume'
const luks = 'a LUKS header'
const zfs = 'a ZFS label'

/** From the beginning. The first that is there is named, so what lies inside others comes last. */
const frontMarks: readonly Mark[] = [
  mark('a segment of a ComIO volume', 0, text('COMIOSEG')),
  mark('the superblock of a ComIO volume in a directory', 0, text('COMIOVOL')),
  mark(luks, 0, hex('4c554b53babe')),
  ...[0, 512, 1024, 1536].map((at) => mark(lvm, at, text('LABELONE'))),
  mark(raid, 0, raidMagic),
  mark(raid, 4096, raidMagic),
  mark('a bcache superblock', 4096 + 24, hex('c68573f64e1a45ca8265f57f48ba6d81')),
  mark('a Ceph BlueStore label', 0, text('bluestore block device')),
  mark('a VDO volume', 0, text('dmvdo001')),
  mark('an XFS file system', 0, text('XFSB')),
  mark('a Btrfs file system', 0x10040, text('_BHRfS_M')),
  mark('an ext2, ext3 or ext4 file system', 0x438, hex('53ef')),
  mark('an F2FS file system', 0x400, hex('1020f5f2')),
  mark('a ReiserFS file system', 0x10034, text('ReIsEr')),
  mark('a JFS file system', 0x8000, text('JFS1')),
  mark('a squashfs file system', 0, text('hsqs')),
  mark('an ISO 9660 file system', 0x8001, text('CD001')),
  mark('an APFS container', 32, text('NXSB')),
  mark('an HFS+ file system', 0x400, text('H+')),
  mark('an NTFS file system', 3, text('NTFS    ')),
  mark('an exFAT file system', 3, text('EXFAT   ')),
  mark('a FAT file system', 54, text('FAT')),
  mark('a FAT file system', 82, text('FAT32   ')),
  ...[4096, 8192, 16384, 65536].flatMap((page) =>
    ['SWAPSPACE2', 'SWAP-SPACE'].map((word) => mark('swap space', page - 10, text(word))),
  ),
  mark(gpt, 512, text('EFI PART')),
  mark(gpt, 4096, text('EFI PART')),
  mark('an MBR partition table or boot sector', 510, hex('55aa')),
]

const zfsUberblocks = { from: 128 * 1024, to: 256 * 1024, step: 1024 }
const zfsMagics = [hex('0cb1ba0000000000'), hex('0000000000bab10c')]

/**
 * @param read the bytes from a position, fewer at the end
 * @returns undefined where both ends hold zeros alone
 */
export async function findForeign(
  size: number,
  read: (position: number, length: number) => Promise<Buffer>,
): Promise<ForeignContent | undefined> {
  const front = await read(0, Math.min(mib, size))
  const backAt = Math.max(0, size - mib)
  const back = await read(backAt, size - backAt)
  const found = findMark(front) ?? findBackMark(back, { at: backAt, size })
  if (found !== undefined) return { found }
  return findByte(front, 0) ?? findByte(back, backAt)
}

function findMark(front: Buffer): string | undefined {
  const has = ({ at, bytes }: Mark): boolean => front.subarray(at, at + bytes.length).equals(bytes)
  return frontMarks.find(has)?.found ?? (hasZfs(front) ? zfs : undefined)
}

/** RAID of the old kinds, the second copies of GPT, and what stays of ZFS when its front was wiped. */
function findBackMark(
  back: Buffer,
  { at, size }: { readonly at: number; readonly size: number },
): string | undefined {
  const has = (position: number, bytes: Buffer): boolean =>
    position >= at && back.subarray(position - at, position - at + bytes.length).equals(bytes)
  const sectors = size - (size % 512)
  if (has(sectors - 512, text('EFI PART')) || has(sectors - 4096, text('EFI PART'))) return gpt
  const old = size - (size % 65536) - 65536
  const version1 = size - 8192 - ((size - 8192) % 4096)
  if (has(old, raidMagic) || has(version1, raidMagic)) return raid
  const labels = size - (size % (256 * 1024))
  const isZfs = [labels - 512 * 1024, labels - 256 * 1024].some(
    (label) => label >= at && hasZfs(back.subarray(label - at)),
  )
  return isZfs ? zfs : undefined
}

function hasZfs(label: Buffer): boolean {
  const { from, to, step } = zfsUberblocks
  for (let at = from; at < Math.min(to, label.length); at += step) {
    if (zfsMagics.some((magic) => label.subarray(at, at + magic.length).equals(magic))) return true
  }
  return false
}

function findByte(bytes: Buffer, at: number): ForeignContent | undefined {
  const index = bytes.findIndex((byte) => byte !== 0)
  return index < 0 ? undefined : { found: `data that ComIO does not know (at byte ${at + index})` }
}
