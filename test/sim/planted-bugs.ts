/** Bugs that ComIO does not have: each is put between two of its parts, for the simulation to find. */
import type { Device, DeviceSegment } from '../../src/device/device.ts'
import type { IndexOperation, OrderedIndex } from '../../src/index/ordered-index.ts'
import type { SyncGate } from '../../src/replication/send/sync-gate.ts'
import type { LinkTraffic } from '../../src/replication/wire/link-traffic.ts'
import { HoldingsBook } from '../../src/store/feed/holdings-book.ts'
import type { Mutation } from '../../src/store/model/mutation.ts'
import type { ChangeSink, FeedPlace, RemoteLedger } from '../../src/store/model/object-store.ts'
import type { Survey } from '../../src/store/model/survey.ts'
import type { TakeGuard } from '../../src/store/model/take-guard.ts'
import { makeVersion, siteOf, timeOf, VersionClock } from '../../src/store/model/version.ts'
import type { Volume } from '../../src/volume/volume.ts'

/** Everything of `target`, but for what `replaced` does instead. */
export function withReplaced<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (name in replaced) return Reflect.get(replaced, name)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function withSync(device: Device, sync: (segment: DeviceSegment) => Promise<void>): Device {
  const wrapped = (segment: DeviceSegment): DeviceSegment =>
    withReplaced(segment, {
      sync: () => sync(segment),
      async writeSynced(buffers: readonly Uint8Array[], position: number) {
        await segment.write(buffers, position)
        await sync(segment)
      },
    })
  return withReplaced(device, {
    create: async (slot, size) => wrapped(await device.create(slot, size)),
    open: async (slot) => wrapped(await device.open(slot)),
  })
}

/** A disk that says that it has synced, and has not. */
export function neverSyncs(device: Device): Device {
  return withSync(device, async () => undefined)
}

/** A disk that answers a sync first and does it afterwards. */
export function syncsLater(device: Device): Device {
  return withSync(device, async (segment) => {
    // What becomes of it is the bug: nobody waits.
    segment.sync().catch(() => undefined)
  })
}

/** A ledger that takes what is on the wire for delivered. */
export function settlesEarly(ledger: RemoteLedger): RemoteLedger {
  return withReplaced(ledger, {
    launched(places: readonly FeedPlace[]) {
      ledger.launched(places)
      const settled = places.map((place) => ({ place, result: 'replicated' }) as const)
      ledger.settle(settled).catch(() => undefined)
    },
  })
}

/** A sink that takes every change for newer than what it has. */
export function ignoresContexts(sink: ChangeSink): ChangeSink {
  const all = ['site-1', 'site-2', 'site-3'].map((site) => makeVersion(2 ** 48 - 1, 0, site))
  const widened = (mutation: Mutation): Mutation =>
    mutation.kind === 'put' || mutation.kind === 'delete' ? { ...mutation, context: all } : mutation
  return withReplaced(sink, {
    apply: (changes, mark) =>
      sink.apply(
        changes.map(({ mutation, body }) => ({ mutation: widened(mutation), body })),
        mark,
      ),
  })
}

/** A sink to which the later one of two clocks is right: it takes a change for one that has seen all that is older. */
export function trustsClocks(sink: ChangeSink): ChangeSink {
  const widened = (mutation: Mutation): Mutation => {
    if (mutation.kind !== 'put' && mutation.kind !== 'delete') return mutation
    const time = timeOf(mutation.version)
    const context = ['site-1', 'site-2', 'site-3'].map((site) => makeVersion(time, 0, site))
    return { ...mutation, context }
  }
  return withReplaced(sink, {
    apply: (changes, mark) =>
      sink.apply(
        changes.map(({ mutation, body }) => ({ mutation: widened(mutation), body })),
        mark,
      ),
  })
}

/** Versions by the wall clock alone, which do not rise with what was seen. Returns what takes the bug out. */
export function ignoresSeenVersions(): () => void {
  const { observe } = VersionClock.prototype
  VersionClock.prototype.observe = () => undefined
  return () => {
    VersionClock.prototype.observe = observe
  }
}

/** Purges that take the newest write of a site for all that it has written. Returns what takes the bug out. */
export function takesNewestForAll(): () => void {
  const { ofPurge } = HoldingsBook.prototype
  HoldingsBook.prototype.ofPurge = (_, version, seen) =>
    seen.filter((one) => siteOf(one) !== siteOf(version))
  return () => {
    HoldingsBook.prototype.ofPurge = ofPurge
  }
}

/** An index whose batches are not atomic: a crash finds them half written. */
export function tearsBatches(index: OrderedIndex): OrderedIndex {
  const left = new WeakMap<readonly IndexOperation[], (readonly IndexOperation[])[]>()
  return withReplaced(index, {
    async write(operations: readonly IndexOperation[]) {
      const half = Math.ceil(operations.length / 2)
      // A batch that failed is written again, from where it failed.
      const pieces = left.get(operations) ?? [operations.slice(0, half), operations.slice(half)]
      left.set(operations, pieces)
      for (let piece = pieces[0]; piece !== undefined; piece = pieces[0]) {
        await index.write(piece)
        pieces.shift()
      }
    },
  })
}

/** A volume that lets segments go while they are being read. */
export function ignoresPins(volume: Volume): Volume {
  return withReplaced(volume, { pin: () => () => undefined })
}

/** Reads elsewhere that do not ask what was deleted here. */
export function forgetsDeletions(survey: Survey): Survey {
  return withReplaced(survey, {
    stateOf(slot) {
      const state = survey.stateOf(slot)
      return slot.kind === 'object' && state.kind === 'deleted'
        ? { ...state, kind: 'absent', version: undefined }
        : state
    },
  })
}

/** A limit that forgets some of those who wait for their turn. */
export function forgetsWaiters(traffic: LinkTraffic): LinkTraffic {
  let turn = 0
  const { bandwidth } = traffic
  const forgetful = withReplaced(bandwidth, {
    spend: (bytes, options) =>
      ++turn % 20 === 0 ? new Promise(() => undefined) : bandwidth.spend(bytes, options),
  })
  return withReplaced(traffic, { bandwidth: forgetful })
}

/** A gate that lets every answer through before the remote has the write. */
export function confirmsAtOnce(gate: SyncGate): SyncGate {
  return withReplaced(gate, { confirm: async () => ({ confirmed: true }) })
}

/** A breaker that acknowledges what it holds. */
export function acknowledgesWhatIsHeld(ledger: RemoteLedger): RemoteLedger {
  return withReplaced(ledger, {
    async take(limit: number, guard?: TakeGuard) {
      const acknowledged = new Set<number>()
      const lying = guard && {
        isWaiting: guard.isWaiting.bind(guard),
        needsBase: guard.needsBase.bind(guard),
        held: guard.held.bind(guard),
        judge(...asked: Parameters<TakeGuard['judge']>) {
          const verdict = guard.judge(...asked)
          if (verdict !== 'hold') return verdict
          acknowledged.add(asked[0].seq)
          return 'take'
        },
      }
      const places = await ledger.take(limit, lying)
      const wrong = places.filter(({ seq }) => acknowledged.has(seq))
      if (wrong.length > 0) {
        await ledger.settle(wrong.map((place) => ({ place, result: 'replicated' }) as const))
      }
      return places.filter(({ seq }) => !acknowledged.has(seq))
    },
  })
}
