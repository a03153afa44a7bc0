import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The console as static files: hashed assets, no inline script or style, so that the strict CSP holds. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  plugins: [react()],
  logLevel: 'warn',
  build: {
    outDir: '../../dist/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: 'es2023',
    modulePreload: { polyfill: false },
  },
});
