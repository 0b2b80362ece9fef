/* Reads PNG files named on stdin, prints what libpng makes of each: untransformed rows, palette, transparency, warnings. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
static char message[200], warned[2000];
static void fail(png_structp p, png_const_charp m) { snprintf(message, sizeof message, "%s", m); longjmp(png_jmpbuf(p), 1); }
static void warn(png_structp p, png_const_charp m) { (void)p; strncat(warned, m, sizeof warned - strlen(warned) - 3); strncat(warned, "; ", 3); }
static void hex(const char *name, const unsigned char *at, size_t n) { printf("%s ", name); for (size_t i = 0; i < n; i++) printf("%02x", at[i]); printf("\n"); }
static void one(const char *path) {
  FILE *f = fopen(path, "rb");
  png_structp p = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, fail, warn);
  png_infop info = png_create_info_struct(p), behind = png_create_info_struct(p);
  unsigned char *volatile rows = NULL; png_bytep *volatile list = NULL;
  message[0] = warned[0] = 0;
  printf("file %s\n", path);
  if (setjmp(png_jmpbuf(p))) { printf("error %s\n", message); }
  else {
    png_init_io(p, f); png_read_info(p, info);
    png_set_interlace_handling(p); png_read_update_info(p, info);
    size_t n = png_get_rowbytes(p, info), h = png_get_image_height(p, info);
    if (n * h > 100000000) { snprintf(message, 200, "helper: too large"); printf("error %s\n", message); goto end; }
    rows = calloc(h, n); list = malloc(h * sizeof *list);
    for (size_t i = 0; i < h; i++) list[i] = rows + i * n;
    png_read_image(p, list);
    png_read_end(p, behind);
    printf("size %u %u %d %d\n", (unsigned)png_get_image_width(p, info), (unsigned)h, png_get_color_type(p, info), png_get_bit_depth(p, info));
    png_colorp plte; int np = 0; 
    if (png_get_PLTE(p, info, &plte, &np)) { printf("palette "); for (int i = 0; i < np; i++) printf("%02x%02x%02x", plte[i].red, plte[i].green, plte[i].blue); printf("\n"); }
    png_bytep alpha; png_color_16p key; int nt;
    if (png_get_tRNS(p, info, &alpha, &nt, &key)) {
      if (png_get_color_type(p, info) == 3) hex("alpha", alpha, nt);
      else printf("key %d %d %d %d\n", key->gray, key->red, key->green, key->blue);
    }
    hex("rows", rows, n * h);
  }
end:
  if (warned[0]) printf("warned %s\n", warned);
  printf("end\n");
  free(rows); free(list); png_destroy_read_struct(&p, &info, &behind); fclose(f);
}
int main(void) { char line[4096]; while (fgets(line, sizeof line, stdin)) { line[strcspn(line, "\n")] = 0; one(line); } return 0; }
