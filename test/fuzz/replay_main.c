/* replay_main - stands in for libFuzzer: runs a fuzz function over the files of folders, once each,
 * so that every build checks what fuzzing has found so far.
 *
 * usage: NAME FOLDER...   exit status 0; 1 if there was nothing to run or a file cannot be read.
 * Each input is copied to a block of its exact size, so that sanitizers see a read past its end. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Runs one file; false if it cannot be read. */
static int s_run_file (const char *path)
{
    FILE *file = fopen (path, "rb");
    if (!file)
        return 0;
    int ok = fseek (file, 0, SEEK_END) == 0;
    long size = ok ? ftell (file) : -1;
    uint8_t *data = size >= 0 ? malloc (size > 0 ? (size_t)size : 1) : NULL;
    ok = data && fseek (file, 0, SEEK_SET) == 0;
    ok = ok && fread (data, 1, (size_t)size, file) == (size_t)size;
    fclose (file);
    if (ok)
        (void)LLVMFuzzerTestOneInput (data, (size_t)size);
    free (data);
    return ok;
}

/* Runs every file of a folder; how many there were, or -1 with a message. */
static int s_run_folder (const char *folder)
{
    char path[4096];
    DIR *entries = opendir (folder);
    if (!entries) {
        perror (folder);
        return -1;
    }
    int count = 0;
    for (const struct dirent *entry = readdir (entries); entry; entry = readdir (entries)) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!s_run_file (path)) {
            perror (path);
            closedir (entries);
            return -1;
        }
        count++;
    }
    closedir (entries);
    return count;
}

int main (int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = s_run_folder (argv[i]);
        if (count < 0)
            return 1;
        total += count;
    }
    printf ("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
