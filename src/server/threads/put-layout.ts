/** How digests and bodies lie in the bytes of a message of PUTs: MD5, SHA-256, body, and the next one. */
export const md5Bytes = 16
export const digestBytes = md5Bytes + 32
