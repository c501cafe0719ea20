/** What exceeds a limit of sizes.ts, and by how much. Entries may shrink and go, never come. */
export const allowedSizes: Readonly<Record<string, number>> = {}
