/** A volume and its store in this process, without a server: to be measured alone, or to be filled. */
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { type Engine, type EngineOptions, openEngine } from '../../src/store/engine.ts'
import { Volume } from '../../src/volume/volume.ts'
import type { VolumeOptions } from '../../src/volume/volume-opening.ts'

export interface BareStore {
  readonly volume: Volume
  readonly engine: Engine
  close(): Promise<void>
}

export async function openBareStore(options: {
  readonly storage: string
  readonly index: string
  readonly format?: VolumeOptions['format']
  readonly capacityBytes?: number
  readonly endOfTurn?: EngineOptions['endOfTurn']
}): Promise<BareStore> {
  const { storage, index, format = { siteId: undefined }, capacityBytes, endOfTurn } = options
  const surroundings = { clock: systemClock, random: systemRandom, logger: silentLogger }
  const volume = await Volume.open({
    ...{ ...surroundings, device: await DirectoryDevice.open(storage), format },
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
  })
  const engine = await openEngine({
    ...{ ...surroundings, volume, openIndex: () => LevelIndex.open({ path: index }) },
    ...{ maxClockSkewMs: 300_000, ...(endOfTurn === undefined ? {} : { endOfTurn }) },
  })
  return {
    volume,
    engine,
    close: async () => {
      await engine.close()
      await volume.close()
    },
  }
}
