import { defineConfig } from 'vitest/config'

/** Tests that need gigabytes and minutes: `npm run test:large`. */
export default defineConfig({
  test: {
    name: 'large',
    include: ['test/large/**/*.test.ts'],
    globalSetup: ['scripts/build-before-tests.ts'],
    fileParallelism: false,
    testTimeout: 1_800_000,
    hookTimeout: 120_000,
  },
})
