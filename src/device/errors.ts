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

/** A file or a block device was named where only a folder can be used so far. */
export class UnsupportedDeviceError extends ComioError {
  readonly code = 'DEVICE_UNSUPPORTED'

  constructor(path: string, found: 'file' | 'block device') {
    super(`${path} is a ${found}; storage on a ${found} is not yet supported`, {
      hint: 'Name a folder; it is made when it does not exist.',
      facts: { path, found },
    })
  }
}

/** Another process has this volume open. */
export class VolumeInUseError extends ComioError {
  readonly code = 'VOLUME_IN_USE'

  constructor(volumeId: string, pid: number | undefined) {
    const holder = pid === undefined ? 'another process' : `process ${pid}`
    super(`volume ${volumeId} is in use by ${holder}`, {
      hint: 'Stop that process first, or name another storage path.',
      facts: { volumeId, pid },
    })
  }
}
