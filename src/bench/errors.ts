import { ComioError } from '../base/errors.ts'

export class BenchBucketInUseError extends ComioError {
  readonly code = 'BENCH_BUCKET_IN_USE'

  constructor(bucket: string) {
    super(`the bucket ${bucket} holds objects, and bench touches nothing that it did not make`, {
      hint: 'name a bucket that is new or empty, or none',
      facts: { bucket },
    })
  }
}
