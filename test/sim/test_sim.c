#include "test_sim.h"

int main (void)
{
    return test_time () + test_network () + test_checker ();
}
