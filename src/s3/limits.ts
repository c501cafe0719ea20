/** Every bound of the data plane, with its reason, in one place. */
import { assert } from '../base/assert.ts'

/** S3's own limit for user metadata: names without prefix, and values, counted in UTF-8. */
export const userMetadataBytesMax = 2048

/** S3's own limit for one PUT; larger objects are uploaded in parts. */
export const objectBytesMax = 5 * 2 ** 30

/** S3's own limit for a page of a listing. */
export const listKeysMax = 1000

/** A body up to this size is collected and stored in one call; `collectBytesMax` overrides it. */
export const collectBytesDefault = 64 * 1024

/** Smaller slices are copied out of the buffer they came in: a slice keeps the whole of it alive. */
export const copyOutBytesMax = 16 * 1024

/** An object up to this size is read in one call; `wholeBytesMax` overrides it. */
export const wholeBytesDefault = 256 * 1024

/** A thread beside the store's reads larger objects not at all, since it reads all of one in one go. */
export const nowBytesMax = 2 ** 20

/**
 * What a streamed body counts for in the budget while its bytes move: the piece in the store plus that in
 * the socket. A download may count for more while there is much room.
 */
export const streamWindowBytes = 2 * 2 ** 20

/**
 * What an upload counts for whose client is slow, and the pieces of a download that are read for a slow
 * one.
 */
export const slowPieceBytes = 64 * 1024

/** Handed to the socket at a time: a client that takes so much in the idle time makes progress. */
export const progressBytes = 256 * 1024

/**
 * Who has moved less than {@link slowPieceBytes} in so long is slow, and holds as little as can be; noticed
 * a quarter late.
 */
export const slowAfterMs = 1000

/** A streamed upload pauses its socket while this much waits to be taken. */
export const uploadQueueBytesMax = 256 * 1024

/** A client that sends or takes nothing for this long is cut off; `idleMsMax` overrides it. */
export const idleMsDefault = 60_000

/** Operations without a payload of their own read and ignore a body up to this size. */
export const ignoredBodyBytesMax = 64 * 1024

/**
 * After an early answer the rest of the body is read and thrown away, so that the client sees the
 * answer and not a reset: until it closes, falls silent, or one of these is reached.
 */
export const lingerBytesMax = 256 * 2 ** 20
export const lingerMsMax = 30_000
export const lingerSilenceMs = 2_000

assert(copyOutBytesMax <= collectBytesDefault, 'what is copied out is collected')
assert(uploadQueueBytesMax <= streamWindowBytes, 'the budget covers the upload queue')
