/** From a sequencer's decision to its durable end. */
import { ComioError } from '../base/errors.ts'
import { VolumeFullError } from '../volume/errors.ts'
import type { CommitPipeline } from './commit-pipeline.ts'
import { StorageFullError } from './errors.ts'
import type { WriteDecision } from './sequencer.ts'

type Sequenced = WriteDecision & { readonly kind: 'sequenced' }

/**
 * Decides, and waits until that is durable. A decision that rests on a write that then fails is made
 * again. `answer` gets undefined when there was nothing to do.
 */
export async function runDecision<T>(
  pipeline: CommitPipeline,
  decide: () => WriteDecision,
  answer: (decision: Sequenced | undefined) => T,
): Promise<T> {
  for (;;) {
    await pipeline.room()
    const decision = decide()
    if (decision.kind === 'sequenced') {
      await settled(decision.done)
      return answer(decision)
    }
    if (decision.after !== undefined && !(await succeeded(decision.after))) continue
    if (decision.kind === 'refused') throw decision.error
    return answer(undefined)
  }
}

async function settled(done: Promise<void>): Promise<void> {
  try {
    await done
  } catch (thrown) {
    throw thrown instanceof VolumeFullError ? new StorageFullError({ wanted: 0 }) : thrown
  }
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
