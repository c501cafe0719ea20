/** One site at a time looks whether a port is free and takes it: two that begin in the same moment would share it. */
import { delay, systemClock } from '../../base/clock.ts'
import { VolumeInUseError } from '../../device/errors.ts'
import { acquireVolumeLock, type VolumeLock } from '../../device/volume-lock.ts'

/** Whoever has its turn needs a few milliseconds. */
const pauseMs = 20
const attemptsMax = 100

/** @throws VolumeInUseError when another process does not end its turn */
export async function takePortTurn(port: number): Promise<VolumeLock> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await acquireVolumeLock({ volumeId: `port-${port}`, clock: systemClock })
    } catch (error) {
      if (!(error instanceof VolumeInUseError) || attempt === attemptsMax) throw error
    }
    await delay(systemClock, pauseMs)
  }
}
