/** What can go wrong between ComIO and the disk. */
import { ComioError } from '../base/errors.ts'

/** The system wrote less than it was given and reported no error. */
export class ShortWriteError extends ComioError {
  readonly code = 'DEVICE_SHORT_WRITE'

  constructor(facts: {
    readonly device: string
    readonly position: number
    readonly wanted: number
    readonly written: number
  }) {
    super(`the disk took ${facts.written} of ${facts.wanted} bytes; the write counts as failed`, {
      hint: 'Look for a full disk, a quota or a file size limit.',
      facts,
    })
  }
}

/** The storage path cannot be used as it is. */
export class StoragePathError extends ComioError {
  readonly code = 'STORAGE_PATH'
}

/** Something else lies where a volume is to be made. */
export class ForeignContentError extends ComioError {
  readonly code = 'DEVICE_FOREIGN'

  constructor(path: string, found: string) {
    super(`${path} is no ComIO volume: it has ${found}, which is not overwritten`, {
      hint: 'Name another storage path; if nothing there is needed any more, give --force-format once.',
      facts: { path, found },
    })
  }
}

/** What the device says about itself is damaged. */
export class CorruptDeviceError extends ComioError {
  readonly code = 'DEVICE_CORRUPT'

  constructor(path: string, mismatch: string) {
    super(`the volume at ${path} is damaged: ${mismatch}`, {
      hint: 'Nothing was changed. Restore it from a copy, or wipe it and let the other site fill it.',
      facts: { path, mismatch },
    })
  }
}

/** A later ComIO made this device. */
export class DeviceTooNewError extends ComioError {
  readonly code = 'DEVICE_TOO_NEW'

  constructor(path: string, version: number) {
    super(`the volume at ${path} has slot format ${version}, which this ComIO does not know`, {
      hint: 'Use the version that wrote it, or a newer one.',
      facts: { path, version },
    })
  }
}

/** The file or the block device is shorter than when the volume was made. */
export class DeviceShrunkError extends ComioError {
  readonly code = 'DEVICE_SHRUNK'

  constructor(path: string, bytes: number, madeFor: number) {
    super(`${path} has ${bytes} bytes, but the volume on it was made for ${madeFor}`, {
      hint: 'Nothing was changed. Give the device its size again, or restore the file.',
      facts: { path, bytes, madeFor },
    })
  }
}

/** The site was asked to stop while its volume was being made. */
export class MakingStoppedError extends ComioError {
  readonly code = 'DEVICE_MAKING_STOPPED'

  constructor(path: string) {
    super(`the volume at ${path} was being made when the site was asked to stop`, {
      hint: 'The next start makes it anew.',
      facts: { path },
    })
  }
}

/** The part of a slot device for small files is full. */
export class SmallFilesFullError extends ComioError {
  readonly code = 'DEVICE_FILES_FULL'

  constructor(path: string, name: string, room: number) {
    super(`there is no room for ${name} in ${path}: small files take up to ${room} bytes there`, {
      facts: { path, name, room },
    })
  }
}

/** Another process has this volume open. */
export class VolumeInUseError extends ComioError {
  readonly code = 'VOLUME_IN_USE'

  /** @param what that is held, in words, when it is not yet known as a volume */
  constructor(volumeId: string, pid: number | undefined, what = `volume ${volumeId}`) {
    const holder = pid === undefined ? 'another process' : `process ${pid}`
    super(`${what} is in use by ${holder}`, {
      hint: 'Stop that process first, or name another storage path.',
      facts: { volumeId, pid },
    })
  }
}
