/** From a sequencer's decision to its durable end. */
import { ComioError } from '../../base/errors.ts'
import { VolumeFullError } from '../../volume/format/errors.ts'
import { StorageFullError } from '../model/errors.ts'
import type { CommitPipeline } from './commit-pipeline.ts'
import type { HeldRoom } from './reserved-room.ts'
import type { WriteDecision } from './write-decision.ts'

type Sequenced = WriteDecision & { readonly kind: 'sequenced' }

export interface DecisionSteps<T> {
  readonly decide: () => WriteDecision
  /** Gets undefined when there was nothing to do. */
  readonly answer: (decision: Sequenced | undefined) => T
  /**
   * Deletes and purges: when they fail because they shared a group with a write that did not fit,
   * they are tried again without it.
   */
  readonly essential?: boolean
  /** Called when the volume was full after all: whether there is room now, and it is to be tried again. */
  readonly whenFull?: () => Promise<boolean>
  /** Room that is waited for before each attempt, and held until it is durable. */
  readonly room?: () => HeldRoom | undefined | Promise<HeldRoom | undefined>
}

const attemptsMax = 4

/**
 * Decides, and waits until that is durable. A decision that rests on a write that then fails is made
 * again.
 */
export async function runDecision<T>(
  pipeline: CommitPipeline,
  steps: DecisionSteps<T>,
): Promise<T> {
  for (let failures = 0; ; ) {
    const room = steps.room?.()
    const held =
      room instanceof Promise ? await pipeline.answered(room, (late) => late?.release()) : room
    try {
      if (!pipeline.hasRoom) await pipeline.room()
      const decision = steps.decide()
      switch (decision.kind) {
        case 'sequenced':
          try {
            await pipeline.answered(decision.done)
            return steps.answer(decision)
          } catch (thrown) {
            if (!(thrown instanceof VolumeFullError)) throw thrown
            if (++failures < attemptsMax && (await isTriedAgain(steps))) break
            throw new StorageFullError({ wanted: 0 }, steps.essential ? 'delete' : 'write')
          }
        case 'wait':
          await pipeline.answered(decision.until)
          break
        case 'refused':
          if (await stands(pipeline, decision.after)) throw decision.error
          break
        case 'nothing-to-do':
          if (await stands(pipeline, decision.after)) return steps.answer(undefined)
          break
      }
    } finally {
      held?.release()
    }
  }
}

async function isTriedAgain<T>({ essential, whenFull }: DecisionSteps<T>): Promise<boolean> {
  return essential === true || ((await whenFull?.()) ?? false)
}

/** Whether what the decision rests on has come true. */
async function stands(
  pipeline: CommitPipeline,
  after: Promise<void> | undefined,
): Promise<boolean> {
  return after === undefined || (await succeeded(pipeline.answered(after)))
}

async function succeeded(done: Promise<void>): Promise<boolean> {
  try {
    await done
    return true
  } catch (thrown) {
    if (thrown instanceof ComioError) return false
    throw thrown
  }
}
